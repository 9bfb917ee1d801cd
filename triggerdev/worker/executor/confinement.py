"""What bounds the memory of a process that executes runs."""


class Confinement:
    """Bounds nothing, as where the system cannot or where a test executes runs in its own process.

    `bounds`: a MemoryError here means that a run has used up its machine's memory.
    """

    bounds = False

    def enter(self, machine: str) -> None:
        """Let the run that begins use as much as its machine has, beyond what the process has now."""

    def share(self, machine: str, runs: int) -> None:
        """Let so many runs of a machine use this process, beyond what it had at its start."""

    def lift(self) -> None:
        """Let the framework end a run that has used up everything."""

    def peak(self) -> int | None:
        """Give the bytes that the run of `enter` had at most; None if nobody knows."""
        return None

    def is_worn(self) -> bool:
        """Say whether so much is left in the process that the next run needs another one."""
        return False
