"""Many simulations: one after the other, each with a seed of its own."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.world import World

_SHOWN = 3
_TAIL = 40


@dataclass(slots=True)
class Result:
    """What many simulations have seen. `failures` say how to repeat them."""

    seeds: int = 0
    events: int = 0
    simulated_ms: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    failures: list[str] = field(default_factory=list)


def simulate(first: int, count: int) -> Result:
    """Run the seeds from `first` on."""
    result = Result(counts=Counter())
    for seed in range(first, first + count):
        world = World(seed, result.counts)
        try:
            world.run()
        except Exception as error:  # whatever it is: a crash of the core breaks a promise too
            result.broken += 1
            if len(result.failures) < _SHOWN:
                result.failures.append(_described(world, error))
        result.seeds += 1
        result.events += world.events
        result.simulated_ms += world.time
    return result


def _described(world: World, error: Exception) -> str:
    tail = "\n".join(world.trace()[-_TAIL:])
    problem = f"seed {world.seed}: {type(error).__name__}: {error}"
    return f"{tail}\n{problem}\nto repeat: python -m tests.simulation {world.seed}"
