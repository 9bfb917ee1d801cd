"""A project in a temporary folder, and short ways to ask for its plan."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triggerdev.build.dry_run import DeployPlan, make_plan
from triggerdev.build.hooks import BuildOutcome, run_extensions
from triggerdev.config import load_config

TASK = "from triggerdev import task\n\n\n@task\ndef hello(payload: str) -> str:\n    return payload\n"


@dataclass
class Project:
    """Files below `root`; `log` holds what extensions said, as (level, extension, text)."""

    root: Path
    log: list[tuple[str, str, str]] = field(default_factory=list)

    def write(self, name: str, text: str | bytes = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def config(self, text: str = "") -> None:
        """Write the config; `text` follows the project's reference."""
        self.write("trigger.config.toml", f'project = "demo"\n{text}')

    def extension(self, *hooks: str, name: str = "mine", also: str = "") -> None:
        """Write a custom extension whose hooks have these lines as bodies, and a config that uses it."""
        body = "\n".join(f"        {line}" for line in hooks)
        self.write(
            "ext.py",
            "from triggerdev.build import *\n\n\nclass Mine(BuildExtension):\n"
            f"    async def on_build_complete(self, context, manifest):\n{body}\n",
        )
        self.config(f'{also}\n[build.extensions.{name}]\nuse = "./ext.py:Mine"\n')

    def outcome(self, target: Any = "deploy", env: Mapping[str, str] | None = None) -> BuildOutcome:
        loaded = load_config(self.root, env_name="prod", environ={})
        return run_extensions(loaded, target, "prod", env or {}, log=lambda *line: self.log.append(line))

    def plan(self, environ: Mapping[str, str] | None = None, environment: str = "prod") -> DeployPlan:
        loaded = load_config(self.root, env_name=environment, environ=environ or {})
        return make_plan(loaded, environment, {}, log=lambda *line: self.log.append(line))

    def containerfile(self, environ: Mapping[str, str] | None = None) -> str:
        return (self.plan(environ).build_dir / "Containerfile").read_text("utf-8")

    def layer(self, layer_id: str) -> dict[str, Any]:
        return layer_of(self.plan().document, layer_id)


def layer_of(document: Mapping[str, Any], layer_id: str) -> dict[str, Any]:
    """Give one layer of a plan document."""
    found: dict[str, Any] = next(layer for layer in document["layers"] if layer["id"] == layer_id)
    return found


def ids(document: Mapping[str, Any]) -> list[str]:
    return [layer["id"] for layer in document["layers"]]


def toml(values: Sequence[str] | str) -> str:
    """Write strings as TOML, which spells them as JSON does."""
    return json.dumps(values)
