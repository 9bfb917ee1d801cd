"""Machine presets: how much processor and memory a run gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from triggerdev.errors import TaskDefinitionError

#: preset -> (vCPU, memory in GB)
PRESETS: dict[str, tuple[float, float]] = {
    "micro": (0.25, 0.25),
    "small-1x": (0.5, 0.5),
    "small-2x": (1, 1),
    "medium-1x": (1, 2),
    "medium-2x": (2, 4),
    "large-1x": (4, 8),
    "large-2x": (8, 16),
}
DEFAULT_PRESET = "small-1x"


class MachineMapping(TypedDict, total=False):
    """A machine as a mapping: `preset`, or `cpu` and `memory` of one."""

    preset: str
    cpu: float
    memory: float


@dataclass(frozen=True)
class Machine:
    """A machine preset. `cpu` is in vCPU, `memory` in GB. Raises TaskDefinitionError if unknown."""

    preset: str = DEFAULT_PRESET

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            known = ", ".join(PRESETS)
            raise TaskDefinitionError(f"Unknown machine preset {self.preset!r}; there are: {known}.")

    @property
    def name(self) -> str:
        return self.preset

    @property
    def cpu(self) -> float:
        return PRESETS[self.preset][0]

    @property
    def memory(self) -> float:
        return PRESETS[self.preset][1]


def preset_name(machine: "str | MachineMapping | Mapping[str, object] | Machine | None") -> str | None:
    """Read a machine in any accepted form as a preset name. Raises TaskDefinitionError if it is none."""
    if machine is None:
        return None
    if isinstance(machine, Machine):
        return machine.preset
    if isinstance(machine, str):
        return Machine(machine).preset
    if isinstance(machine, Mapping):
        return _from_mapping(machine)
    raise TaskDefinitionError(f"A machine is a preset name, a mapping or a Machine, not {machine!r}.")


def _from_mapping(machine: Mapping[str, object]) -> str:
    if "preset" in machine:
        return Machine(str(machine["preset"])).preset
    size = (machine.get("cpu"), machine.get("memory"))
    for name, known in PRESETS.items():
        if known == size:
            return name
    raise TaskDefinitionError(f"No machine preset has cpu={size[0]!r} and memory={size[1]!r} (GB).")
