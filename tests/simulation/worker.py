"""A simulated worker: it executes programs, replays them from records, parks, and speaks the protocol."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tests.simulation import programs
from triggerdev.protocol import Message, is_refusal

if TYPE_CHECKING:
    from tests.simulation.world import World

_PATIENCE = 1_000  # how long a run with timers keeps its slot
BOOM = {"type": "BUILT_IN_ERROR", "name": "ValueError", "message": "boom", "stackTrace": ""}
KILLED = {"type": "INTERNAL_ERROR", "code": "TASK_PROCESS_SIGSEGV", "message": "it is gone"}
_REFUSED = {"refused": True}
BROKEN = {"type": "INTERNAL_ERROR", "code": "CONFIGURED_INCORRECTLY", "message": "no such queue"}
_ENDS: dict[str, dict[str, Any]] = {
    "failed": {"outcome": "failed", "error": BOOM},
    "skip": {"outcome": "failed", "error": BOOM, "skip_retry": True},
    "soon": {"outcome": "failed", "error": BOOM, "retry_delay_ms": 10},
    "much later": {"outcome": "failed", "error": BOOM, "retry_delay_ms": 120_000},
    "later": {"outcome": "failed", "error": BOOM, "retry": {"max_attempts": 5, "min_timeout_in_ms": 2000}},
    "crashed": {"outcome": "crashed", "error": KILLED},
    "broken": {"outcome": "failed", "error": BROKEN},
    "timed_out": {"outcome": "timed_out"},
}


class Branch:
    """A line of execution of a run; `state` says what it is at."""

    def __init__(self, path: str, program: programs.Program, parent: "Branch | None" = None) -> None:
        self.path, self.program, self.parent = path, program, parent
        self.count = 0
        self.state = "running"  # or working, sleeping, asking, waiting, joining, done
        self.wakes_at = 0
        self.result: Any = None
        self.children: list[Branch] = []


class Execution:
    """One attempt in one process."""

    def __init__(self, info: Any) -> None:
        self.id: str = info["id"]
        self.token: int = info["token"]
        self.attempt: int = info["attempt"]
        self.task: str = info["task"]
        self.began_at: int = info["attempt_started_at"]
        self.record: dict[str, Any] = {op["op"]: op for op in info["record"]}
        self.is_alive = True
        self.is_parked = False
        self.is_ending = False
        self.pending: dict[str, Branch] = {}
        self.held: list[Branch] = []
        self.main = Branch("0", programs.start(programs.nodes_for(info["payload"]), self.attempt))
        self.branches = [self.main]


class SimWorker:
    """A supervisor with its processes. `name` is the session's, `link` the connection if there is one."""

    def __init__(self, world: "World", name: str, room: int, sync_room: int) -> None:
        self.world = world
        self.rng = world.rng
        self.name = name
        self.room = {"async": room, "sync": sync_room}
        self.runs: dict[str, Execution] = {}
        self.is_frozen = False
        self.link: Any = None
        self.pending_frames: list[Message] = []
        self._asked: dict[int, tuple[Execution, Branch, str]] = {}
        self._outbox: list[Message] = []
        self._ids = 0

    # -- for the server

    def free(self) -> dict[str, int]:
        """Tell the room by kind."""
        busy = [self.world.kind_of(each.task) for each in self.runs.values() if not each.is_parked]
        return {kind: room - busy.count(kind) for kind, room in self.room.items()}

    def hear(self, message: Message) -> None:
        """Take a message of the engine."""
        if self.is_frozen:
            self.pending_frames.append(message)
            return
        handler = getattr(self, f"_on_{message['t']}")
        handler(message)

    def say(self, message: Message) -> None:
        """Send a message; all of one moment go in one frame."""
        if not self._outbox:
            self.world.after(self.rng.choice((0, 0, 1, 3)), self._flush)
        self._outbox.append(message)

    def _flush(self) -> None:
        frame, self._outbox = self._outbox, []
        if self.is_frozen:
            self.world.after(1000, lambda: self._say_again(frame))
        elif self.link is not None and frame:
            if self.rng.random() < self.world.duplicates:
                frame.append(dict(self.rng.choice(frame)))
                self.world.count("message sent twice")
            self.link.send(frame)

    def _say_again(self, frame: list[Message]) -> None:
        for message in frame:
            self.say(message)

    # -- messages

    def _on_start(self, message: Message) -> None:
        info = message["run"]
        previous = self.runs.get(info["id"])
        if previous is not None:
            self.drop(previous, tell=True)
        execution = Execution(info)
        self.world.checks.started(info)
        self.runs[execution.id] = execution
        self._advance(execution, execution.main, None)

    def _find(self, message: Message, field: str = "token") -> Execution | None:
        found = self.runs.get(message["run"])
        return found if found is not None and found.token == message[field] else None

    def _on_resume(self, message: Message) -> None:
        execution = self._find(message, "old")
        if execution is None or not execution.is_parked:
            self.world.count("resume found nobody")
            self.say({"t": "evicted", "run": message["run"], "token": message["token"]})
            return
        self.world.count("resumed in its process")
        execution.token = message["token"]
        execution.is_parked = False
        for op in message["ops"]:
            if op["done"]:
                self._deliver(execution, op["op"], op.get("result"))
        held, execution.held = execution.held, []
        for branch in held:
            self._advance(execution, branch, None)
        self._try_park(execution)

    def _on_cancel(self, message: Message) -> None:
        execution = self._find(message)
        if execution is None:
            return
        if message["reason"] == "lease_lost":
            self.world.count("told to let go")
            self.drop(execution, tell=True)
        else:
            execution.is_ending = True
            self.world.after(self.rng.choice((0, 5, 2_000)), lambda: self._end_cancelled(execution))

    def _on_lease_lost(self, _message: Message) -> None:
        self.let_go(list(self.runs.values()))

    def _end_cancelled(self, execution: Execution) -> None:
        if execution.is_alive:
            self._done(execution, {"outcome": "cancelled"})

    def _on_evict(self, message: Message) -> None:
        execution = self._find(message)
        if execution is not None:
            self.world.count("evicted by the engine")
            self.drop(execution, tell=True)

    def _on_reply(self, message: Message) -> None:
        asked = self._asked.pop(message["id"], None)
        if asked is None or not asked[0].is_alive:
            return
        execution, branch, op = asked
        if message.get("error_kind") == "stale":
            self.world.count("operation of one who lost his run")
            self.drop(execution, tell=True)
        elif "error" in message:
            self.world.count("operation refused")
            self._take(execution, branch, op, _REFUSED)
        elif message.get("pending"):
            branch.state = "waiting"
            execution.pending[op] = branch
            self._try_park(execution)
        else:
            self._take(execution, branch, op, message.get("result"))

    def _on_op_done(self, message: Message) -> None:
        execution = self._find(message)
        if execution is None:
            return
        if execution.is_parked:
            self.world.count("a result crossed a park")
        else:
            self.world.count("result while executing")
            self._deliver(execution, message["op"], message["result"])

    def _deliver(self, execution: Execution, op: str, result: Any) -> None:
        branch = execution.pending.pop(op, None)
        if branch is not None:
            self._take(execution, branch, op, result)

    def _take(self, execution: Execution, branch: Branch, op: str, result: Any) -> None:
        self.world.checks.observed(execution, op, result)
        self._advance(execution, branch, result)

    # -- executing

    def _advance(self, execution: Execution, branch: Branch, value: Any) -> None:
        """Let a branch run on until it has to wait for something."""
        if execution.is_ending:
            return
        branch.state = "running"
        try:
            while branch.state == "running":
                node = branch.program.send(value)
                value = self._meet(execution, branch, node)
        except programs.FailError as failure:
            self._done(execution, _ENDS[failure.how])
            return
        except StopIteration as end:
            branch.state, branch.result = "done", end.value
            self._branch_done(execution, branch)
            return
        self._try_park(execution)

    def _meet(self, execution: Execution, branch: Branch, node: programs.Node) -> Any:
        if node[0] == "par":
            branch.state = "joining"
            branch.children = [Branch(f"{branch.path}.{n}", each, branch) for n, each in enumerate(node[1])]
            execution.branches += branch.children
            for child in branch.children:
                if execution.is_alive:
                    self._advance(execution, child, None)
        elif node[0] in ("work", "sleep"):
            branch.state = f"{node[0]}ing"
            branch.wakes_at = self.world.time + node[1]
            self.world.after(node[1], lambda: self._timer(execution, branch))
        else:
            return self._operate(execution, branch, node)
        return None

    def _operate(self, execution: Execution, branch: Branch, node: programs.Node) -> Any:
        op = f"{branch.path}:{branch.count}"
        branch.count += 1
        kind, target, args = programs.request(node, execution.id, execution.attempt, op, execution.began_at)
        known = execution.record.get(op)
        if known is None:
            self._ids += 1
            branch.state = "asking"
            self._asked[self._ids] = (execution, branch, op)
            message = {"t": "op", "id": self._ids, "op": op, "kind": kind, "target": target, "args": args}
            self.say({**message, "run": execution.id, "token": execution.token})
            return None
        self.world.checks.that(
            (known["kind"], known["target"]) == (kind, target),
            f"{execution.id}: the record has {known} at {op}, the program {kind} {target}",
        )
        if known["done"]:
            self.world.count("operation answered from the record")
            result = _REFUSED if is_refusal(known.get("result")) else known.get("result")
            self.world.checks.observed(execution, op, result)
            return result
        branch.state = "waiting"
        execution.pending[op] = branch
        return None

    def _timer(self, execution: Execution, branch: Branch) -> None:
        if not execution.is_alive:
            return
        if not execution.is_parked:
            self._advance(execution, branch, None)
            return
        execution.held.append(branch)
        if self.rng.random() < 0.3:
            self.world.count("a parked run asked for a slot")
            self.say({"t": "wake", "run": execution.id, "token": execution.token})

    def _branch_done(self, execution: Execution, branch: Branch) -> None:
        parent = branch.parent
        if parent is None:
            output = programs.output_of(branch.result)
            self._done(execution, {"outcome": "ok", "output": output})
        elif parent.state == "joining" and all(child.state == "done" for child in parent.children):
            self._advance(execution, parent, [child.result for child in parent.children])
        else:
            self._try_park(execution)

    def _done(self, execution: Execution, outcome: dict[str, Any]) -> None:
        if outcome["outcome"] == "crashed" and self.world.kind_of(execution.task) == "async":
            outcome = _ENDS["failed"]
        self.world.checks.ended(execution, outcome)
        self.drop(execution)
        self.say({"t": "done", "run": execution.id, "token": execution.token, **outcome, "usage_ms": 1})

    # -- parking and leaving

    def _try_park(self, execution: Execution) -> None:
        """Park after a moment, if still nothing but waits is left then."""
        if self._is_at_rest(execution):
            has_timers = any(branch.state == "sleeping" for branch in execution.branches)
            pause = _PATIENCE if has_timers else self.rng.choice((0, 0, 1, 5))
            self.world.after(pause, lambda: self._park(execution))

    def _is_at_rest(self, execution: Execution) -> bool:
        calm = ("waiting", "joining", "done", "sleeping")
        is_calm = all(branch.state in calm for branch in execution.branches)
        is_free = execution.is_alive and not execution.is_parked and not execution.is_ending
        return is_free and is_calm and bool(execution.pending)

    def _park(self, execution: Execution) -> None:
        if not self._is_at_rest(execution):
            return
        execution.is_parked = True
        message = {"t": "park", "run": execution.id, "token": execution.token, "usage_ms": 1}
        message["ops"] = list(execution.pending)
        timers = [branch.wakes_at for branch in execution.branches if branch.state == "sleeping"]
        if timers:
            self.world.count("parked beside a timer")
            message["wake_at"] = self.world.now() + max(0, min(timers) - self.world.time)
        self.say(message)

    def drop(self, execution: Execution, *, tell: bool = False) -> None:
        """Forget an execution; `tell` the engine that the run has left."""
        execution.is_alive = False
        if self.runs.get(execution.id) is execution:
            del self.runs[execution.id]
        if tell:
            self.say({"t": "evicted", "run": execution.id, "token": execution.token})

    def let_go(self, executions: Iterable[Execution]) -> None:
        """End those that are still here of executions whose connection was lost."""
        for execution in executions:
            if execution.is_alive:
                self.drop(execution, tell=True)

    def drop_all(self) -> None:
        """Die with everything."""
        for execution in list(self.runs.values()):
            self.drop(execution)
        self._asked.clear()
        self._outbox.clear()
        self.pending_frames.clear()

    # -- faults

    def evict(self, executions: Iterable[Execution]) -> None:
        """Have parked runs leave their processes."""
        for execution in executions:
            self.world.count("evicted by the worker")
            self.drop(execution, tell=True)

    def lose_processes(self, executions: Iterable[Execution]) -> None:
        """Lose processes: what a plain function did has failed, coroutines go on elsewhere."""
        lost = []
        for execution in executions:
            is_sync = self.world.kind_of(execution.task) == "sync"
            if is_sync and not execution.is_parked:
                self.world.count("process of a plain function died")
                self._done(execution, _ENDS["crashed"])
            else:
                self.drop(execution)
                lost.append([execution.id, execution.token])
        if lost:
            self.world.count("processes lost")
            self.say({"t": "lost", "runs": lost})
