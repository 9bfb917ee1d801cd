"""The record of layers that this project has built; a dry run only reads it."""

import json
from dataclasses import dataclass
from pathlib import Path

RECORD = ".trigger/cache/layers.json"


@dataclass(frozen=True)
class Status:
    """Whether a layer can be reused ("cached") or has to be built ("build"), and why."""

    status: str
    reason: str


class LayerRecord:
    """Which content keys were built, and the last key of each layer id."""

    def __init__(self, layers: dict[str, str]) -> None:
        self._id_by_key = layers

    def status(self, layer_id: str, key: str) -> Status:
        """Tell whether a layer with this key was built."""
        if key in self._id_by_key:
            return Status("cached", "a layer with this content was built before")
        if layer_id in self._id_by_key.values():
            return Status("build", "its content has changed")
        return Status("build", "it was never built here")


def read_record(root: Path) -> tuple[LayerRecord, str | None]:
    """Read a project's record, and give a warning if there is one that cannot be read."""
    path = root / RECORD
    try:
        data = json.loads(path.read_bytes())
        layers = {str(key): str(entry["id"]) for key, entry in data["layers"].items()}
    except FileNotFoundError:
        return LayerRecord({}), None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return LayerRecord({}), f"{RECORD} cannot be read, so no layer counts as cached; delete it"
    return LayerRecord(layers), None
