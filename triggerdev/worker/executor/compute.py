"""The compute clock of an attempt: it stands still while the run waits or another one holds its loop."""

import time


class ComputeClock:
    """Counts milliseconds of compute time, on top of those of the run's earlier attempts; starts running."""

    def __init__(self, before_ms: float) -> None:
        self._before = before_ms
        self._used = 0.0
        self._since: float | None = time.perf_counter()

    @property
    def attempt_ms(self) -> float:
        """What this attempt has used in this process."""
        if self._since is None:
            return self._used
        return self._used + (time.perf_counter() - self._since) * 1000

    @property
    def total_ms(self) -> float:
        """What all attempts have used."""
        return self._before + self.attempt_ms

    def stop(self) -> None:
        """Stand still."""
        self._used = self.attempt_ms
        self._since = None

    def start(self) -> None:
        """Go on."""
        if self._since is None:
            self._since = time.perf_counter()

    def excuse(self, ms: float) -> None:
        """Take back time in which another run kept this one from running."""
        if self._since is not None:
            self._used -= min(ms, self.attempt_ms)
