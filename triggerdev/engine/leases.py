"""How long a worker that is not heard of keeps its runs."""

from dataclasses import dataclass

from triggerdev import errors

HEARTBEATS_A_LEASE = 3


@dataclass(frozen=True, slots=True)
class Leases:
    """`length`: seconds from a worker's last renewal until its runs can be taken over; `heartbeat`: seconds
    between renewals, and between looks at the leases of others. So it takes at most their sum.

    Raises UsageError for a heartbeat of more than a third of the lease.
    """

    length: float = 30.0
    heartbeat: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < round(self.heartbeat * 1000) * HEARTBEATS_A_LEASE <= self.length_ms:
            raise errors.UsageError(
                f"A lease of {self.length:g} s needs a heartbeat of at most"
                f" {self.length / HEARTBEATS_A_LEASE:g} s, not {self.heartbeat:g} s."
            )

    @property
    def length_ms(self) -> int:
        return round(self.length * 1000)


__all__ = ["HEARTBEATS_A_LEASE", "Leases"]
