"""`trigger lock`: pins base images by digest, and what extensions download, in trigger.lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triggerdev.cli import options
from triggerdev.cli.building import known_variables, stdout_as_stderr
from triggerdev.cli.output import Output

if TYPE_CHECKING:
    from triggerdev.build.lock import Lock

Project = Annotated[Path | None, typer.Argument(metavar="[PATH]", help="The project's folder or its config.")]
Upgrade = Annotated[bool, typer.Option("--upgrade", help="Ask for the digests of all base images anew.")]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file would change.")]


def lock(
    path: Project = None,
    config: options.Config = None,
    env_file: options.EnvFile = None,
    upgrade: Upgrade = False,
    check: Check = False,
    json: options.Json = False,
) -> None:
    """Write trigger.lock: the digests that all later deploys use, of all environments of the config."""
    from triggerdev import errors
    from triggerdev.build import lock as locks
    from triggerdev.build import locking
    from triggerdev.config import load_config

    if path is not None and config is not None:
        raise errors.UsageError("PATH and --config both name the project; give one of them")
    if upgrade and check:
        raise errors.UsageError("--check asks no registry, so --upgrade cannot be checked")
    files = env_file or []
    first = load_config(config or path, env_name="prod", environ=os.environ, env_files=files)
    before = _known(first.root)
    wanted = []
    for name in dict.fromkeys(("prod", *first.environments)):
        if name != "dev":  # nothing of it is deployed
            loaded = load_config(first.path, env_name=name, environ=os.environ, env_files=files)
            with stdout_as_stderr():
                wanted.append(locking.needs(loaded, name, known_variables(loaded, files)))
    ask = (lambda _: "") if check else locking.ask_registry(first)
    after = locking.make(wanted, locks.Lock() if upgrade or before is None else before, ask)
    if check and after != before:
        raise errors.BuildError(f"{locks.FILE} is not what the project needs; run `trigger lock`")
    if after != before:
        locks.write(first.root, after)
    _show(Output(json), before, after, first.root / locks.FILE)


def _known(root: Path) -> Lock | None:
    """Read the lock; one that cannot be read is made anew."""
    from triggerdev import errors
    from triggerdev.build import lock as locks

    try:
        return locks.read(root)
    except errors.BuildError:
        return None


def _show(out: Output, before: Lock | None, after: Lock, file: Path) -> None:
    out.result(
        {
            "file": str(file),
            "changed": after != before,
            "bases": dict(after.bases),
            "downloads": [
                {"name": pin.name, "version": pin.version, "sha256": dict(pin.sha256)}
                for pin in after.downloads
            ],
        }
    )
    for image, digest in sorted(after.bases.items()):
        sign = "=" if before is not None and before.bases.get(image) == digest else "+"
        out.line(f"{sign} {image}  {digest}")
    for pin in after.downloads:
        sign = "=" if before is not None and pin in before.downloads else "+"
        out.line(f"{sign} {pin}  {', '.join(architecture for architecture, _ in pin.sha256)}")
    out.line(f"{file.name} is as it was" if after == before else f"wrote {file.name}", "green")
