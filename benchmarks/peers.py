"""Setting up and measuring Celery: its environment, its Redis, its worker."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PORT = 16_379
PACKAGES = ["celery==5.7.0", "redis==8.1.0", "packaging==26.3"]  # kombu forgets to ask for the last
DURABILITY = {
    "rdb": ["--save", "3600 1 300 100 60 10000"],
    "aof": ["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
}


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "triggerdev-benchmarks"


def celery_python() -> Path:
    """Install Celery once into an environment of its own."""
    home = cache_folder() / "celery"
    python = home / "bin" / "python"
    stamp = home / "complete"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != str(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES], check=True)
        stamp.write_text(str(PACKAGES), encoding="utf-8")
    return python


@contextmanager
def redis(durability: str) -> Iterator[str]:
    """Run a Redis server of our own; yields its URL."""
    if shutil.which("redis-server") is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--dir", folder]
        server = subprocess.Popen([*command, *DURABILITY[durability]], stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{PORT}/0"
        finally:
            server.terminate()
            server.wait()


def celery(durability: str, repetitions: int) -> dict[str, float]:
    """Measure Celery with two prefork processes."""
    python = celery_python()
    with redis(durability) as url:
        environ = {**os.environ, "BENCH_REDIS": url, "PYTHONPATH": str(HERE)}
        worker = subprocess.Popen(
            [str(python), "-m", "celery", "-A", "celery_peer", "worker", "-c", "2", "--loglevel", "error"],
            env=environ,
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            answer = subprocess.run(
                [str(python), "celery_peer.py", str(repetitions)],
                env=environ,
                cwd=HERE,
                check=True,
                capture_output=True,
                text=True,
            )
            return dict(json.loads(answer.stdout))
        finally:
            worker.terminate()
            worker.wait()


def celery_help() -> float:
    """Time `celery --help`; median milliseconds."""
    python = celery_python()
    samples = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([str(python), "-m", "celery", "--help"], check=True, stdout=subprocess.DEVNULL)
        samples.append((time.perf_counter() - started) * 1000)
    return sorted(samples)[3]
