"""Hostile and huge values: payloads, outputs, errors, metadata, tags, names."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.dev.kit import Line, start
from tests.endtoend.conftest import Project

ODD_IDS = [
    "a/b",
    "with space",
    'it\'s "quoted"',
    "[red]mark[/red]",
    "<b>&amp;",
    "ümläut-日本-🎉",
    "-x",
    "a%2Fb",
    "a?b#c",
    "x" * 128,
]

VALUES = """
from triggerdev import logger

@task(id="echo")
async def echo(payload: Any):
    return payload

@task(id="echo-sync")
def echo_sync(payload: Any):
    return payload

@task(id="big-output")
async def big_output(payload: int):
    return "x" * payload

@task(id="huge-batch", retry=Retry(max_attempts=1))
async def huge_batch():
    await tasks.batch_trigger("echo", [{"payload": "x" * 3_000_000}] * 20)

@task(id="surrogate-output")
async def surrogate_output():
    return {"name": "\\ud800"}

@task(id="surrogate-error", retry=Retry(max_attempts=1))
async def surrogate_error():
    raise ValueError("\\ud800\\x1b[31m")

@task(id="surrogate-error-sync", retry=Retry(max_attempts=1))
def surrogate_error_sync():
    raise ValueError("\\ud800\\x1b[31m")

@task(id="no-text", retry=Retry(max_attempts=1))
async def no_text():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")
    raise Odd

@task(id="deep", retry=Retry(max_attempts=1))
def deep():
    return deep()

@task(id="circular", retry=Retry(max_attempts=1))
async def circular():
    value: list[Any] = []
    value.append(value)
    return value

def odd_data():
    data = {"self": object(), 1: "one", "bytes": b"x", "nan": float("nan"), "huge": 10**30, "s": "\\ud800"}
    data["again"] = data
    return data

@task(id="logs")
async def logs():
    logger.info("odd \\ud800", odd_data())
    logger.warn("after")
    return "logged"

@task(id="logs-sync")
def logs_sync():
    logger.info("odd \\ud800", odd_data())
    logger.warn("after")
    return "logged"

@task(id="odd-metadata", retry=Retry(max_attempts=1))
async def odd_metadata(payload: str):
    odd = {"surrogate": "\\ud800", "object": object(), "nan": float("nan"), "circular": []}
    odd["circular"].append(odd["circular"])
    metadata.set("key", odd[payload])
    await wait.for_(seconds=0.01)
    metadata.set("after", 1)
    return metadata.get("after")

@task(id="odd-child", retry=Retry(max_attempts=1))
async def odd_child():
    try:
        await tasks.trigger_and_wait("echo", {"\\ud800": "\\ud800"})
    except Exception as error:
        first = type(error).__name__
    second = (await tasks.trigger_and_wait("echo", "fine")).output
    return [first, second]
"""


TEXTS = [
    "",
    " ",
    "ümläut",
    "日本語",
    "🎉👩‍👩‍👧",
    "\0",
    "\x1b[31m",
    "\u202e",
    "a\nb\r\nc",
    "'\"`$(x)",
    "\u2028",
    "\x7f\x80",
]


def with_ids() -> str:
    """Write a task for each odd id."""
    template = (
        "@task(id={id!r})\ndef odd_{n}(ctx: Context):\n    print(ctx.task.id)\n    return ctx.task.id\n"
    )
    return VALUES + "\n".join(template.format(id=each, n=n) for n, each in enumerate(ODD_IDS))


async def test_any_text_is_a_task_id_a_payload_and_an_output(project: Callable[..., Project]) -> None:
    made = project(with_ids())
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        assert [await api.output(quote(each, safe="")) for each in ODD_IDS] == ODD_IDS
        assert [(await dev.line("log", of_text(each)))["stream"] for each in ODD_IDS] == ["stdout"] * len(
            ODD_IDS
        )
        for name in ("echo", "echo-sync"):
            assert await api.output(name, TEXTS) == TEXTS
            assert await api.output(name, {text: text for text in TEXTS}) == {text: text for text in TEXTS}


def of_text(text: str) -> Callable[[Line], bool]:
    return lambda line: bool(line["message"] == text)


async def test_huge_values(project: Callable[..., Project]) -> None:
    made = project(VALUES)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        huge = "ü" * 1_400_000 + "x" * 100_000
        runs = [await api.trigger(name, huge) for name in ("echo", "echo-sync")]
        assert [(await api.result(run))["output"] == huge for run in runs] == [True, True]
        assert len(await api.output("big-output", 9_000_000)) == 9_000_000
        too_big = await api.result(await api.trigger("big-output", 11_000_000))
        assert (too_big["status"], too_big["attemptCount"]) == ("FAILED", 1)
        huge_batch = await api.result(await api.trigger("huge-batch"))
        assert "several batches" in huge_batch["error"]["message"]
        assert "10,485,760" in too_big["error"]["message"]


async def test_what_json_cannot_hold_costs_its_run_at_most(project: Callable[..., Project]) -> None:
    made = project(VALUES)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()

        async def end(task: str, payload: str = "") -> tuple[str, Any]:
            run = await api.result(await api.trigger(task, payload))
            return run["status"], (run.get("error") or {}).get("message") or run.get("output")

        assert await end("surrogate-output") == (
            "FAILED",
            "output.name: str is not valid UTF-8: surrogates not allowed",
        )
        assert await end("surrogate-error") == ("FAILED", "\\ud800\x1b[31m")
        assert await end("surrogate-error-sync") == ("FAILED", "\\ud800\x1b[31m")
        assert await end("no-text") == ("FAILED", "<no message: RuntimeError in __str__>")
        assert await end("deep") == ("FAILED", "maximum recursion depth exceeded")
        assert (await end("circular"))[0] == "FAILED"
        assert await end("odd-metadata", "surrogate") == (
            "FAILED",
            "metadata 'key': str is not valid UTF-8: surrogates not allowed",
        )
        assert await end("odd-metadata", "nan") == ("COMPLETED", 1)
        assert (await end("odd-metadata", "object"))[0] == "FAILED"
        assert (await end("odd-metadata", "circular"))[0] == "FAILED"
        assert await end("odd-child") == ("COMPLETED", ["PayloadError", "fine"])
        for name in ("logs", "logs-sync"):
            assert await end(name) == ("COMPLETED", "logged")
        logged = [line for line in dev.lines if line["type"] == "log" and line.get("data")]
        assert [line["message"] for line in logged] == ["odd \\ud800"] * 2
        assert {line["data"]["nan"] for line in logged} == {None}
        assert {line["data"]["huge"] for line in logged} == {10**30}
