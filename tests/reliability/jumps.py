"""A machine whose clock is set while all kinds of things wait for their time."""

from dataclasses import dataclass

from tests.engine.kit import DAY, HOUR, MINUTE, SECOND, START, EngineKit, VirtualClock, Worker, task
from tests.store.backends import Backend
from triggerdev.engine.clock import SystemClock
from triggerdev.engine.model import RunFilter, Status

JUMPS = {"an hour": HOUR, "a year": 365 * DAY}
SPAN = 2 * HOUR
_NS = 1_000_000
TASKS = (
    *(task(name) for name in ("delay", "wait", "wait in place", "token", "retry", "lease", "control")),
    task("ttl", queue={"name": "closed", "concurrency_limit": 0}),
    task("slot", schedule={"cron": "0 */2 * * *", "timezone": "UTC"}),
)
_WAITS = {
    "delay": Status.DELAYED,
    "wait": Status.WAITING,
    "token": Status.WAITING,
    "retry": Status.RETRYING,
    "ttl": Status.PENDING,
}
KINDS = ("delay", "wait", "wait in place", "token", "retry", "ttl", "slot")


class MachineClock(VirtualClock):
    """The engine's own clock on a machine whose clock can be set."""

    def __init__(self, wall: int = START) -> None:
        super().__init__()
        self._passed = 0
        self._ahead = wall * _NS
        self._clock = SystemClock(lambda: self._passed + self._ahead, lambda: self._passed)

    def now(self) -> int:
        return self._clock.now()

    def advance(self, ms: int) -> None:
        self._passed += ms * _NS

    def jump(self, by: int) -> None:
        """Set the machine's clock."""
        self._ahead += by * _NS

    @property
    def wall(self) -> int:
        """What the machine's clock shows."""
        return (self._passed + self._ahead) // _NS


@dataclass(slots=True)
class Outcome:
    """What ended early or did not end, which leases were lost, which slots ran twice."""

    early: int = 0
    stuck: int = 0
    lost: int = 0
    doubled: int = 0
    checked: int = 0


class Waiting:
    """One thing of each kind that is over in two hours, and a run that executes all the while."""

    def __init__(self, backend: Backend) -> None:
        self.kit = EngineKit(backend, TASKS, (), seed=1)
        self.clock = MachineClock()
        self.kit.clock = self.clock
        self.runs: dict[str, str] = {}

    async def begin(self) -> None:
        kit = self.kit
        await kit.open()
        worker, runs = kit.worker, self.runs
        runs["delay"] = await kit.trigger("delay", None, delay="2h")
        runs["ttl"] = await kit.trigger("ttl", None, ttl="2h")
        for name in ("wait", "wait in place", "token", "retry", "control"):
            runs[name] = await kit.start(name)
        await worker.wait_parked(runs["wait"], ms=SPAN)
        await worker.op(runs["wait in place"], "0:0", "wait", None, for_ms=SPAN)
        await worker.op(runs["token"], "0:0", "wait_token", "approval", timeout_ms=SPAN)
        await worker.park(runs["token"], "0:0")
        await worker.fail(runs["retry"], retry_delay_ms=SPAN)

    async def over(self) -> set[str]:
        """Name the kinds whose time has come."""
        found = set()
        for name, waits in _WAITS.items():
            run = await self.kit.run(self.runs[name])
            if run.status is not waits or (run.status is Status.RETRYING and run.ready):
                found.add(name)
        if any(message["t"] == "op_done" for message in self.kit.worker.inbox):
            found.add("wait in place")
        if await self.slots():
            found.add("slot")
        return found

    async def slots(self) -> int:
        """Count the runs of the schedule."""
        return len((await self.kit.engine.list_runs(RunFilter(task=["slot"]))).items)

    async def has_kept(self, run: str) -> bool:
        """Tell whether a run executes as it did at first: same attempt, same lease."""
        found = await self.kit.run(run)
        return (found.status, found.token, found.attempt) == (Status.EXECUTING, 1, 1)


async def jump_while_running(backend: Backend, by: int) -> Outcome:
    """Set the clock while the engine runs: things are over when their time has passed, not before."""
    waiting, outcome = Waiting(backend), Outcome(checked=len(KINDS))
    await waiting.begin()
    kit, clock = waiting.kit, waiting.clock
    gone = Worker(kit.engine, "gone", room=1)
    kit.worker.room["async"] = 0
    held = await kit.trigger("lease")
    await gone.started(held)
    await kit.advance(MINUTE)
    kit.engine.disconnect("gone")
    clock.jump(by)
    early: set[str] = set()
    for step in (20 * SECOND, SPAN - MINUTE - 30 * SECOND):
        await kit.advance(step)
        early |= await waiting.over()
        outcome.lost += step == 20 * SECOND and not await waiting.has_kept(held)
    outcome.early = len(early)
    await kit.advance(20 * SECOND)
    outcome.stuck = len(set(KINDS) - await waiting.over()) + await waiting.has_kept(held)
    outcome.lost += not await waiting.has_kept(waiting.runs["control"])
    outcome.doubled = max(0, await waiting.slots() - 1)
    await kit.close()
    return outcome


async def jump_while_down(backend: Backend, by: int) -> Outcome:
    """Set the clock while the engine is down: all is over once the new clock has passed the old time."""
    waiting, outcome = Waiting(backend), Outcome(checked=len(KINDS))
    await waiting.begin()
    kit = waiting.kit
    await kit.close()
    waiting.clock.jump(by)
    waiting.clock = kit.clock = MachineClock(waiting.clock.wall)
    await kit.open()
    await kit.advance(MINUTE)
    left = START + SPAN - waiting.clock.wall
    if left > 0:
        await kit.advance(left + MINUTE)
    await kit.advance(MINUTE)
    left_over = set(KINDS) - {"wait in place"} - await waiting.over()  # it is in no place any more
    in_place = await kit.run(waiting.runs["wait in place"])
    outcome.stuck = len(left_over) + (in_place.status is not Status.EXECUTING)
    outcome.doubled = await waiting.slots() - len(await _distinct_slots(kit))
    await kit.close()
    return outcome


async def _distinct_slots(kit: EngineKit) -> set[str | None]:
    found = await kit.engine.list_runs(RunFilter(task=["slot"]))
    return {run.payload for run in found.items}
