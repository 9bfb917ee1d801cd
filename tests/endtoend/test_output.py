"""What tasks print arrives whole, in order and at the right run, whatever it is and whoever writes it."""

import asyncio
from collections.abc import Callable

from tests.dev.kit import Api, start
from tests.endtoend.conftest import Project

OTHERS = ["task", "to_thread", "executor", "thread", "child task", "callback"]
PRINTING = """
from concurrent.futures import ThreadPoolExecutor

LINES = 10_000

@task(id="many")
async def many(payload: str):
    for number in range(LINES):
        print(payload, number)
        if number % 100 == 0:
            await asyncio.sleep(0)

@task(id="many-sync")
def many_sync(payload: str):
    for number in range(LINES):
        print(payload, number)

@task(id="long")
async def long():
    print("a" * 1_000_000)
    print("b" * 1_000_000, file=sys.stderr)
    print("end")

@task(id="long-sync")
def long_sync():
    print("a" * 1_000_000)
    os.write(1, b"b" * 1_000_000 + b"\\n")
    print("end")

@task(id="junk-sync")
def junk_sync():
    os.write(1, bytes(range(256)) * 20 + b"\\n")
    os.write(1, b"\\xff\\xfe\\x00 no utf-8\\n")
    print("\\x1b[31m\\x07\\u202e\\ud800 surrogate\\x00")
    print("after the junk")

@task(id="junk")
async def junk():
    os.write(1, b"\\xff\\xfe nobody's\\n")
    print("\\x1b]0;title\\x07\\ud800\\x00\\r\\n\\u2028", end="")
    print("after the junk")

@task(id="others")
async def others(payload: str):
    print(payload, "task")
    await asyncio.to_thread(print, payload, "to_thread")
    await asyncio.get_running_loop().run_in_executor(None, print, payload, "executor")
    thread = threading.Thread(target=print, args=(payload, "thread"))
    thread.start()
    thread.join()
    await asyncio.create_task(printing(payload))
    asyncio.get_running_loop().call_soon(print, payload, "callback")
    await asyncio.sleep(0.01)

async def printing(name):
    print(name, "child task")

@task(id="others-sync")
def others_sync(payload: str):
    print(payload, "task")
    thread = threading.Thread(target=print, args=(payload, "thread"))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(print, payload, "pool").result()
    subprocess.run(["sh", "-c", f"echo {payload} program; echo {payload} complaint >&2"], check=True)
    os.system(f"echo {payload} system; printf '{payload} unfinished'")
"""


async def lines(api: Api, run: str) -> list[str]:
    """Read all lines of a run."""
    await api.result(run)
    found: list[str] = []
    after = 0
    while page := (await api.call("GET", f"/api/v1/runs/{run}/events?after={after}"))["events"]:
        found += [line["message"] for line in page]
        after = page[-1]["seq"]
    return found


async def test_ten_thousand_lines_of_each_of_six_runs(project: Callable[..., Project]) -> None:
    made = project(PRINTING)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        runs = [await api.trigger(task, f"{task}-{n}") for n in range(3) for task in ("many", "many-sync")]
        for found in await asyncio.gather(*(lines(api, run) for run in runs)):
            name = found[0].split()[0]
            assert found == [f"{name} {number}" for number in range(10_000)]


async def test_whatever_is_written_is_kept(project: Callable[..., Project]) -> None:
    made = project(PRINTING)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()

        async def of(task: str, payload: str = "") -> list[str]:
            return await lines(api, await api.trigger(task, payload))

        # Lines of 1 MB come in pieces, none of them lost
        for name in ("long", "long-sync"):
            found = await of(name)
            assert "".join(found) == "a" * 1_000_000 + "b" * 1_000_000 + "end"
            assert found[-1] == "end"

        # What is no text is shown as far as it is
        assert await of("junk") == ["\x1b]0;title\x07\\ud800\0", "\u2028after the junk"]
        found = await of("junk-sync")
        assert "\x1b[31m\x07\u202e\\ud800 surrogate\0" in found
        assert "\ufffd\ufffd\0 no utf-8" in found
        assert "after the junk" in found
        assert await dev.line("process_output", lambda line: line["text"].endswith("nobody's"))

        # Threads and programs speak for the run that has started them
        assert await of("others", "x") == [f"x {who}" for who in OTHERS]
        told = ["task", "thread", "pool", "program", "complaint", "system", "unfinished"]
        assert sorted(await of("others-sync", "y")) == sorted(f"y {who}" for who in told)
