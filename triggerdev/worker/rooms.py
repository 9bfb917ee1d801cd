"""How much memory processes may have that execute runs, by the machine of these."""

import os

from triggerdev.protocol import DEFAULT_MACHINE, MACHINES

MB = 2**20
WORN = 128 * MB
"""A process that keeps more than this behind its runs is replaced before the next one."""
SLACK = 64 * MB
"""A process that is watched may have this much more before the system itself refuses."""
_LIBRARIES = 256 * MB  # what tasks import when they run, of which a shared loop has one copy for all
_SHARE = 32  # a run on a shared loop is expected to use this part of its machine


def machine_bytes(machine: str) -> int:
    """Give the memory of a preset."""
    return round(MACHINES.get(machine, MACHINES[DEFAULT_MACHINE])[1] * 1024) * MB


def loop_bytes(machine: str, runs: int) -> int:
    """Give what a loop may use that some runs of a machine share: one of them all of it, the others little.

    Who of them used more than the machine has is only known once they are apart.
    """
    whole = machine_bytes(machine)
    return whole + _LIBRARIES + max(0, runs - 1) * whole // _SHARE


def loop_is_large(machine: str, used: int) -> bool:
    """Say whether a loop has grown so much that others should get the next runs."""
    return used > max(machine_bytes(machine) // 2, _LIBRARIES)


def stacks_bytes() -> int:
    """Give what native libraries reserve for the stacks of one thread for each core, and hardly use."""
    return min(os.cpu_count() or 1, 64) * 8 * MB
