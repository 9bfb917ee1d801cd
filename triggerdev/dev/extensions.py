"""Build extensions in `trigger dev`: their variables act, and their files are watched.

The hooks are the user's code, so they run in a process of their own, with the project's interpreter:
`python -m triggerdev.dev.extensions ENVIRONMENT CONFIG` prints one JSON object.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triggerdev import _json, errors
from triggerdev.config import LoadedConfig
from triggerdev.worker.interpreter import module_command

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class DevExtensions:
    """What extensions give in dev: variables for the tasks, files whose changes matter, warnings."""

    env: dict[str, str] = field(default_factory=dict, repr=False)
    watch: frozenset[Path] = frozenset()
    warnings: tuple[str, ...] = ()


async def run(interpreter: Path, loaded: LoadedConfig, env: Mapping[str, str]) -> DevExtensions:
    """Run the hooks of the config's extensions with target "dev". Raises BuildError with what went wrong."""
    if not loaded.config.build.extensions:
        return DevExtensions()
    process = await asyncio.create_subprocess_exec(
        *module_command(interpreter, __name__),
        *(loaded.env_name, str(loaded.path)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        cwd=loaded.root,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise errors.BuildError(f"The build extensions did not end within {_SECONDS} s.") from None
    if process.returncode != 0:
        raise errors.BuildError(err.decode(errors="replace").strip() or "The build extensions failed.")
    answer = _json.loads(out)
    return DevExtensions(
        answer["env"], frozenset(Path(path) for path in answer["watch"]), tuple(answer["warnings"])
    )


def _main() -> int:
    from triggerdev.build.hooks import run_extensions
    from triggerdev.config import load_config

    environment, path = sys.argv[1:3]
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what hooks print is talk, not the answer
    try:
        loaded = load_config(Path(path), env_name=environment, environ=os.environ)
        outcome = run_extensions(loaded, "dev", environment, os.environ)
    except errors.TriggerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = {
        "env": outcome.variables(os.environ),
        "watch": [str(each) for each in outcome.watch],
        "warnings": list(outcome.warnings),
    }
    answer.write(_json.dump_bytes(found))
    answer.close()
    return 0


if __name__ == "__main__":
    sys.exit(_main())
