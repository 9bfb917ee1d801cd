"""Machine presets: how much processor and memory a run gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from triggerdev.errors import TaskDefinitionError
from triggerdev.protocol import DEFAULT_MACHINE, MACHINES


class MachineMapping(TypedDict, total=False):
    """A machine as a mapping: `preset`, or `cpu` and `memory` of one."""

    preset: str
    cpu: float
    memory: float


@dataclass(frozen=True)
class Machine:
    """A machine preset. `cpu` is in vCPU, `memory` in GB. Raises TaskDefinitionError if unknown."""

    preset: str = DEFAULT_MACHINE

    def __post_init__(self) -> None:
        if self.preset not in MACHINES:
            known = ", ".join(MACHINES)
            raise TaskDefinitionError(f"Unknown machine preset {self.preset!r}; there are: {known}.")

    @property
    def name(self) -> str:
        return self.preset

    @property
    def cpu(self) -> float:
        return MACHINES[self.preset][0]

    @property
    def memory(self) -> float:
        return MACHINES[self.preset][1]


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
    unknown = [name for name in machine if name not in MachineMapping.__annotations__]
    if unknown or not machine:
        problem = f"has the unknown key {unknown[0]!r}" if unknown else "is empty"
        raise TaskDefinitionError(
            f"The machine {machine!r:.80} {problem}; use preset, or cpu and memory (GB)."
        )
    if "preset" in machine:
        return Machine(str(machine["preset"])).preset
    size = (machine.get("cpu"), machine.get("memory"))
    for name, known in MACHINES.items():
        if known == size:
            return name
    raise TaskDefinitionError(f"No machine preset has cpu={size[0]!r} and memory={size[1]!r} (GB).")
