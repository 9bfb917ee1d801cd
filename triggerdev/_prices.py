"""What compute time costs: by machine preset, in cents. Nothing, unless the configuration has prices."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triggerdev.protocol import DEFAULT_MACHINE, MACHINES, PriceTable


@dataclass(frozen=True, slots=True)
class Prices:
    """In cents. `per_run`: for each run that starts; `per_second`: of compute time, by preset."""

    per_run: float = 0.0
    per_second: Mapping[str, float] = field(default_factory=dict)

    def per_ms(self, machine: str) -> float:
        """Give the cents that a millisecond costs; an unknown machine counts as the default one."""
        name = machine if machine in MACHINES else DEFAULT_MACHINE
        return self.per_second.get(name, 0.0) / 1000


NO_PRICES = Prices()


def read(table: PriceTable | None) -> Prices:
    """Read what settings say."""
    return NO_PRICES if table is None else Prices(table["per_run"], table["per_second"])


def price_table(
    per_vcpu_second: float, per_gb_second: float, per_second: Mapping[str, float]
) -> dict[str, float]:
    """Give the price of a second by preset: its own, or what its vCPUs and its memory cost together."""
    return {
        name: per_second.get(name, cpu * per_vcpu_second + memory * per_gb_second)
        for name, (cpu, memory) in MACHINES.items()
    }
