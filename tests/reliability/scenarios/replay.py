"""Replay: each shape of a corpus, and generated ones, is lost after each of its operations and goes on."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

from tests.reliability.scenario import Plan, Report, Scenario
from tests.testing.generated import shape_of
from tests.testing.replaying import ASYNC_SHAPES, CORPUS, End, Loss, Shape, execute


class Replays:
    """The runs of one shape, compared with one that was left alone."""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        self.prefixes = 0
        self.losses = 0
        self.runs = 0
        self.differences: list[str] = []
        self.repeated_steps = 0
        self._shape = shape
        self._rng = rng
        whole = Loss()
        try:
            self._expected = asyncio.run(execute(shape, whole))
        except Exception as error:
            error.add_note(f"in {shape.__name__}, which nothing had disturbed")
            raise
        self._operations = whole.operations

    def from_every_prefix(self) -> None:
        """Lose the run once, after each of its operations in turn."""
        for point in range(1, self._operations + 1):
            self.prefixes += self._compare(f"lost after operation {point}", _at(point))

    def with_many_losses(self, times: int) -> None:
        """Lose the run after every operation, then by chance; then have it leave at every wait."""
        self._compare("lost after every operation", lambda _count: True)
        for _ in range(times):
            seed = self._rng.randrange(2**32)
            self._compare(f"lost by chance with seed {seed}", _by_chance(random.Random(seed)))
        self._compare("left at every wait", lambda _count: False, replay=True)

    def _compare(self, how: str, when: Callable[[int], bool], **options: bool) -> int:
        loss = Loss(when)
        self.runs += 1
        try:
            end = asyncio.run(execute(self._shape, loss, **options))
        except Exception as error:
            self._note(how, f"{type(error).__name__}: {error}")
        else:
            self._check(how, end)
        self.losses += loss.count
        return loss.count

    def _check(self, how: str, end: End) -> None:
        more = end.steps - self._expected.steps
        self.repeated_steps += more.total()
        if replace(end, steps=self._expected.steps) != self._expected or end.steps != self._expected.steps:
            self._note(how, f"{end} and not {self._expected}")

    def _note(self, how: str, what: str) -> None:
        self.differences.append(f"{self._shape.__name__} {how}: {what}")


def _at(point: int) -> Callable[[int], bool]:
    return lambda count: count == point


def _by_chance(rng: random.Random) -> Callable[[int], bool]:
    share = rng.random()
    return lambda _count: rng.random() < share


def run(plan: Plan) -> Report:
    """Replay the corpus (the short tier a third of it, chosen by the seed) and programs made by chance."""
    rng = random.Random(plan.seed)
    known = rng.sample(CORPUS, plan.pick(len(CORPUS) // 3, len(CORPUS)))
    made = [shape_of(rng.randrange(2**32)) for _ in range(plan.pick(4, 300))]
    done = []
    for shape in [*known, *made]:
        replays = Replays(shape, rng)
        replays.from_every_prefix()
        replays.with_many_losses(plan.pick(1, 100 if shape in CORPUS else 5))
        done.append(replays)
    report = Report()
    report.figures["shapes of the corpus"] = len(known)
    report.figures["of them coroutines"] = sum(shape in ASYNC_SHAPES for shape in known)
    report.figures["programs made by chance"] = len(made)
    report.figures["prefixes of records, each replayed"] = sum(each.prefixes for each in done)
    report.figures["runs that were lost"] = sum(each.runs for each in done)
    report.figures["losses in all"] = sum(each.losses for each in done)
    report.must_be("recorded steps done twice", sum(each.repeated_steps for each in done), 0)
    differences = [text for each in done for text in each.differences]
    report.must_be("runs that came to another end", len(differences), 0)
    report.failures += differences[:5]
    return report


SCENARIO = Scenario(
    name="replay",
    title="Runs that are lost at any operation come to the same end",
    promise="Output, metadata, tags, the runs that were triggered and how often steps were done do not "
    "depend on where a run is lost: coroutines and plain functions, branches, TaskGroups, steps, waits in "
    "`finally`.",
    stores=("memory",),
    run=run,
)
