"""Celery with Redis on the same work: a prefork worker of two processes, Redis as broker and for results.

Started by `run.py` in a virtual environment of its own. With `aof` Redis fsyncs before each answer, as our
engine does; with `rdb` it has Debian's defaults and loses seconds to minutes in a crash.
"""

import json
import os
import sys
import time
from statistics import median
from typing import Any

from celery import Celery, group  # type: ignore[import-not-found]  # installed in the peer's environment

REDIS = os.environ["BENCH_REDIS"]
PAYLOAD = {"userId": "user_0123456789", "kind": "noop", "data": [1, 2, 3], "pad": "x" * 40}

app = Celery("celery_peer", broker=REDIS, backend=REDIS)
app.conf.update(broker_connection_retry_on_startup=True)


@app.task  # type: ignore[untyped-decorator]  # celery has no types here
def noop(payload: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True}


def throughput(runs: int) -> float:
    """Send a group and collect every result; runs a second."""
    started = time.perf_counter()
    group(noop.s(PAYLOAD) for _ in range(runs)).apply_async().get(timeout=600)
    return runs / (time.perf_counter() - started)


def latency(runs: int) -> float:
    """Send one and wait for its result, on an idle system; median milliseconds."""
    samples = []
    for _ in range(runs):
        started = time.perf_counter()
        noop.delay(PAYLOAD).get(timeout=60)
        samples.append((time.perf_counter() - started) * 1000)
    return median(samples)


if __name__ == "__main__":
    from celery_peer import latency as measured_latency  # type: ignore[import-not-found]  # itself, run as a script
    from celery_peer import throughput as measured_throughput

    repetitions = int(sys.argv[1])
    measured_throughput(200)
    rates = median(measured_throughput(2000) for _ in range(repetitions))
    print(json.dumps({"runs_per_second": rates, "latency_ms": measured_latency(300)}))
