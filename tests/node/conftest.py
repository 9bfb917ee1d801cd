"""The official SDK from npm, installed once into a cache folder, and a way to drive a server with it."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS = 300
DRIVE_SECONDS = 120

Drive = Callable[..., Awaitable[dict[str, dict[str, Any]]]]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The installed packages; the test is skipped where they cannot be had, and fails there in CI."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            _cannot(f"{program} is not on PATH; the official SDK needs Node.js 18.20 or newer")
    lock = (HERE / "package-lock.json").read_bytes()
    folder = _cache_home() / "triggerdev-tests" / f"sdk-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            _install(folder)
    return folder / "node_modules"


@pytest.fixture
def drive(node_modules: Path, tmp_path: Path) -> Drive:
    """Run steps of driver.mjs against a server, `await drive(url, key, "trigger")`; gives results by step."""
    shutil.copy(HERE / "driver.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(node_modules)

    async def run(url: str, key: str, *steps: str) -> dict[str, dict[str, Any]]:
        environ = {"TRIGGER_API_URL": url, "TRIGGER_SECRET_KEY": key, "PATH": os.environ["PATH"]}
        process = await asyncio.create_subprocess_exec(
            "node",
            str(tmp_path / "driver.mjs"),
            *steps,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), DRIVE_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        results = {line["step"]: line for line in map(json.loads, out.decode().splitlines())}
        assert results, err.decode()
        return results

    return run


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode != 0:
        _cannot(f"npm cannot install the official SDK: {done.stderr[-500:]}")
    (folder / "installed").touch()


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
