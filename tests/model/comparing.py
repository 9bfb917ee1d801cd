"""Many random commands on a store and on the one in memory, in chunks that each have a seed."""

from collections import Counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import StoreMachine

STEPS = 50  # of one example; a step is a command or a few, and some questions
_EXAMPLES = 40  # of a chunk
_CHOSEN = settings(
    max_examples=_EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def compare(kind: str, operations: int, first_seed: int) -> Counter[str]:
    """Carry out at least so many commands on both stores; gives how often each kind has succeeded.

    Fails with the shortest sequence of commands after which the stores differ.
    """
    succeeded: Counter[str] = Counter()
    while operations_of(succeeded) < operations:
        chosen = settings(_CHOSEN, max_examples=min(_EXAMPLES, operations // STEPS))
        run_state_machine_as_test(seed(first_seed)(machine(kind, succeeded)), settings=chosen)
        first_seed += 1
    return succeeded


def machine(kind: str, succeeded: Counter[str]) -> type[StoreMachine]:
    """Make the machine for one store, counting in `succeeded`."""
    return type("Machine", (StoreMachine,), {"stores": (kind,), "succeeded": succeeded})


def operations_of(succeeded: Counter[str]) -> int:
    """Count operations: what was asked of an operation's answer is counted apart."""
    return sum(count for name, count in succeeded.items() if not name.endswith("accepted"))
