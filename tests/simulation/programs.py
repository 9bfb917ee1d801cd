"""What simulated tasks do: small programs made from a seed, which ask for durable operations in order."""

import functools
import random
import zlib
from collections.abc import Callable, Generator
from typing import Any

from triggerdev import _json

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
TOKENS = ("approval", "payment", "review")
KEY_TTL = {"k1": 30 * SECOND, "k2": 20 * MINUTE, "k3": HOUR}
_CALLABLE = ("job", "child", "narrow", "plain", "plain", "keyed")
_DEEPEST = 2
_SCHEDULED = [("work", 50), ("wait", SECOND)]
_FAILURES = (
    "failed",
    "failed",
    "failed",
    "crashed",
    "crashed",
    "broken",
    "skip",
    "timed_out",
    "soon",
    "later",
    "much later",
    "much later",
)

Node = tuple[Any, ...]
Program = Generator[Node, Any, list[Any]]


class FailError(Exception):
    """The program raises: `how` it ends the attempt."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


@functools.lru_cache(maxsize=10_000)
def nodes_of(seed: int, depth: int) -> list[Node]:
    """Make the program of a payload's seed; the same seed gives the same one in every process."""
    rng = random.Random(seed)
    nodes = [_node(rng, depth) for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))]
    if rng.random() < 0.25:
        branches = [[_node(rng, depth) for _ in range(rng.randint(1, 2))] for _ in range(rng.randint(2, 3))]
        nodes.insert(rng.randint(0, len(nodes)), ("par", branches))
    if rng.random() < 0.35:
        failure = ("fail", rng.choice((1, 1, 2, 9)), rng.choice(_FAILURES))
        nodes.insert(rng.randint(0, len(nodes)), failure)
    return nodes


def nodes_for(payload: str | None) -> list[Node]:
    """Make the program that a payload asks for; those of schedules all ask for the same."""
    asked = _json.loads(payload or "{}")
    return nodes_of(asked["seed"], asked["depth"]) if "seed" in asked else _SCHEDULED


def _node(rng: random.Random, depth: int) -> Node:
    make: Callable[[random.Random, int], Node] = rng.choice(_SHALLOW if depth >= _DEEPEST else _ALL)
    return make(rng, depth)


def _work(rng: random.Random, depth: int) -> Node:
    return ("work", rng.choice((5, 50, 2 * SECOND, 20 * SECOND, 90 * SECOND)))


def _sleep(rng: random.Random, depth: int) -> Node:
    return ("sleep", rng.choice((100, 5 * SECOND, 40 * SECOND)))


def _wait(rng: random.Random, depth: int) -> Node:
    return (rng.choice(("wait", "wait", "until")), rng.choice((0, SECOND, 10 * SECOND, MINUTE, HOUR)))


def _token(rng: random.Random, depth: int) -> Node:
    timeout = rng.choice((None, MINUTE, 10 * MINUTE))
    return rng.choice((("token", rng.choice(TOKENS), timeout), ("own", timeout)))


def _small(rng: random.Random, depth: int) -> Node:
    return rng.choice((("complete", rng.choice(TOKENS)), ("tags", rng.choice("abc")), ("meta",), ("step",)))


def _child(rng: random.Random, depth: int) -> Node:
    return (rng.choice(("trigger", "call", "call")), _call(rng, depth))


def _batch(rng: random.Random, depth: int) -> Node:
    calls = [_call(rng, depth) for _ in range(rng.randint(1, 3))]
    key = rng.choice((None, None, "b1"))
    return (rng.choice(("batch", "call_batch", "call_batch")), calls, key)


def _call(rng: random.Random, depth: int) -> Node:
    """Describe one trigger: task, seed and depth of its program, options."""
    return rng.choice(_CALLABLE), rng.getrandbits(32), depth + 1, options_of(rng)


_SHALLOW = (_work, _work, _sleep, _wait, _wait, _wait, _token, _small, _small)
_ALL = (*_SHALLOW, _child, _child, _child, _batch)


def options_of(rng: random.Random) -> dict[str, Any]:
    """Choose options of a trigger."""
    options: dict[str, Any] = {}
    if rng.random() < 0.15:
        options["delay"] = rng.choice(("5s", "2m"))
    if rng.random() < 0.2:
        options["ttl"] = rng.choice(("1s", "5s", "1m"))
    if rng.random() < 0.2:
        options["idempotencyKey"] = rng.choice(tuple(KEY_TTL))
        options["idempotencyKeyTTL"] = f"{KEY_TTL[options['idempotencyKey']] // SECOND}s"
    if rng.random() < 0.1:
        options["priority"] = rng.choice((-5, 10))
    if rng.random() < 0.1:
        options["maxAttempts"] = rng.randint(1, 3)
    if rng.random() < 0.3:
        options["concurrencyKey"] = rng.choice(("one", "two"))
    return options


def start(nodes: list[Node], attempt: int) -> Program:
    """Begin a program. It yields nodes and is sent what they give; `par` has the branches to run."""
    results: list[Any] = []
    for node in nodes:
        if node[0] == "par":
            results.append((yield ("par", [start(branch, attempt) for branch in node[1]])))
        elif node[0] == "own":
            made = yield ("create", node[1])
            results.append((yield ("by_id", made["id"])) if "id" in made else made)
        elif node[0] == "fail":
            if attempt <= node[1]:
                raise FailError(node[2])
        else:
            results.append((yield node))
    return results


def output_of(results: list[Any]) -> str:
    """Make a run's output of its program's results."""
    return str(zlib.crc32(_json.dump_bytes(results)))


def evaluate(program: Program, path: str, look_up: Callable[[str], Any]) -> list[Any]:
    """Run a program to its end on the results of its operations."""
    count, value = 0, None
    try:
        while True:
            node = program.send(value)
            if node[0] == "par":
                value = [evaluate(each, f"{path}.{n}", look_up) for n, each in enumerate(node[1])]
            elif node[0] in ("work", "sleep"):
                value = None
            else:
                value = look_up(f"{path}:{count}")
                count += 1
    except StopIteration as end:
        results: list[Any] = end.value
        return results


def request(node: Node, run: str, attempt: int, op: str, began_at: int) -> tuple[str, str | None, Any]:
    """Put a node as an operation: kind, target, arguments."""
    what = node[0]
    if what in _CALLS:
        task, args = _as_item(node[1], run, attempt, op)
        return _CALLS[what], task, args
    if what in _BATCHES:
        items = [_as_item(call, run, attempt, f"{op}/{n}") for n, call in enumerate(node[1])]
        target = ",".join(sorted({task for task, _ in items}))
        raw = [{"task": task, **args} for task, args in items]
        args = {"items": raw} | ({"idempotency_key": node[2]} if node[2] else {})
        return _BATCHES[what], target, args
    return _simple(node, began_at)


def _simple(node: Node, began_at: int) -> tuple[str, str | None, Any]:
    increment = [{"type": "increment", "key": "n", "value": 1}]
    requests: dict[str, Callable[[], tuple[str, str | None, Any]]] = {
        "wait": lambda: ("wait", None, {"for_ms": node[1]}),
        "until": lambda: ("wait", None, {"until": began_at + node[1]}),
        "token": lambda: ("wait_token", node[1], {"timeout_ms": node[2], "is_name": True}),
        "create": lambda: ("create_token", None, {"timeout_ms": node[1]}),
        "by_id": lambda: ("wait_token", node[1], {"is_name": False}),
        "complete": lambda: ("complete_token", node[1], {"output": '"from a run"'}),
        "tags": lambda: ("tags", None, {"tags": [node[1]]}),
        "step": lambda: ("step", "once", {"output": "1"}),
        "meta": lambda: ("metadata", None, {"operations": increment, "parent_operations": increment}),
    }
    return requests[node[0]]()


_CALLS = {"trigger": "trigger", "call": "trigger_and_wait"}
_BATCHES = {"batch": "batch_trigger", "call_batch": "batch_trigger_and_wait"}


def _as_item(call: Node, run: str, attempt: int, op: str) -> tuple[str, dict[str, Any]]:
    task, seed, depth, options = call
    return task, {"payload": payload(seed, depth, f"{run}/{attempt}/{op}"), "options": options}


def payload(seed: int, depth: int, by: str) -> str:
    """Write a payload: which program, and by which operation it was triggered, for the checks."""
    return _json.dumps({"seed": seed, "depth": depth, "by": by})
