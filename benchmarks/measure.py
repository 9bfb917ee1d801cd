"""What is measured of triggerdev: throughput, latency, reload, start-up of the command and the import."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.dev_server import Client, DevServer

PAYLOAD = {"userId": "user_0123456789", "kind": "noop", "data": [1, 2, 3], "pad": "x" * 40}
BATCH = 1000


def throughput(client: Client, runs: int) -> float:
    """Trigger no-op runs in batches over HTTP until all are complete; runs a second."""
    line = {"task": "noop", "payload": json.dumps(PAYLOAD), "options": {"payloadType": "application/json"}}
    items = "\n".join(json.dumps({"index": index, **line}) for index in range(BATCH)).encode()
    started = time.perf_counter()
    batches = []
    for _ in range(runs // BATCH):
        batch = client.call("POST", "/api/v3/batches", {"runCount": BATCH})["id"]
        client.call("POST", f"/api/v3/batches/{batch}/items", raw=items)
        batches.append(batch)
    for batch in batches:
        while client.call("GET", f"/api/v2/batches/{batch}")["status"] != "COMPLETED":
            time.sleep(0.01)
    return runs / (time.perf_counter() - started)


def latency(client: Client, runs: int) -> list[float]:
    """Trigger one run and wait for its result, again and again on an idle system; milliseconds, sorted."""
    samples = []
    for _ in range(runs):
        started = time.perf_counter()
        run = client.result(client.trigger("noop", PAYLOAD))
        samples.append((time.perf_counter() - started) * 1000)
        assert run["status"] == "COMPLETED", run
    return sorted(samples)


def triggering(server: DevServer, calls: int) -> float:
    """Call `tasks.trigger` so many times at once with the SDK, as a backend does; handles a second."""
    import triggerdev

    async def gather() -> None:
        await asyncio.gather(*(triggerdev.tasks.trigger("noop", PAYLOAD) for _ in range(calls)))

    url, key = server.address()
    triggerdev.configure(api_url=url, secret_key=key)
    started = time.perf_counter()
    asyncio.run(gather())
    return calls / (time.perf_counter() - started)


def reload(server: DevServer, client: Client, edits: int) -> list[float]:
    """Save a file and trigger until a run with the new code has completed; milliseconds, sorted."""
    file = server.project / "trigger" / "noop.py"
    samples = []
    for edition in range(1, edits + 1):
        text = re.sub(r"EDITION = \d+", f"EDITION = {edition}", file.read_text(encoding="utf-8"))
        started = time.perf_counter()
        file.write_text(text, encoding="utf-8")
        while client.result(client.trigger("edition", {}))["output"] != edition:
            pass
        samples.append((time.perf_counter() - started) * 1000)
        time.sleep(0.2)
    return sorted(samples)


def command(argv: list[str], times: int) -> list[float]:
    """Time a whole process; milliseconds, sorted."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    samples = []
    for _ in range(times + 1):
        started = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=environ)
        samples.append((time.perf_counter() - started) * 1000)
    return sorted(samples[1:])  # the first one compiles


def all_figures(repetitions: int) -> dict[str, float]:
    """Measure everything; medians."""
    python = sys.executable
    trigger = str(Path(python).with_name("trigger"))
    with tempfile.TemporaryDirectory() as folder, DevServer(Path(folder)) as server:
        client = server.client()
        throughput(client, BATCH)
        figures = {
            "runs_per_second": median(throughput(client, 5 * BATCH) for _ in range(repetitions)),
            "triggers_per_second": median(triggering(server, BATCH) for _ in range(repetitions)),
            "latency_ms": median(latency(client, 300)),
            "reload_ms": median(reload(server, client, 15)),
        }
    bare = median(command([python, "-c", "pass"], 9))
    figures["help_ms"] = median(command([trigger, "--help"], 9))
    figures["import_ms"] = median(command([python, "-c", "import triggerdev"], 9)) - bare
    return figures
