"""`trigger db backup`."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import options, project
from triggerdev.cli.output import Output


def backup(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="The copy to write; by default .trigger/backups/engine-DATE-TIME.db."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    config: options.Config = None,
    json: options.Json = False,
    plain: options.Plain = False,
) -> None:
    """Copy the project's SQLite database, also while `trigger dev` works at full load.

    The copy holds everything that was accepted when it began; it is checked, and appears under its name when
    it is whole. To restore: docs/operations.md.
    """
    from triggerdev.dev.folder import StateFolder
    from triggerdev.engine.store import sqlite_backup

    out = Output(json, plain)
    root = project.require_root(config)
    _refuse_postgres(root)
    folder = StateFolder(root)
    target = file or folder.path / "backups" / f"engine-{datetime.now(UTC):%Y%m%d-%H%M%S}.db"
    made = sqlite_backup.backup(folder.database, target, force=force)
    out.result({"path": str(made.path), "bytes": made.size, "runs": made.runs, "schema": made.schema})
    out.line(str(made.path))
    out.say(f"{made.runs} runs, {made.size / 1e6:.1f} MB; the copy is checked.")


def _refuse_postgres(root: Path) -> None:
    from triggerdev.config import load_config

    loaded = load_config(root, env_name="dev", environ=os.environ)
    if loaded.environ.get("TRIGGER_DATABASE_URL", "").strip():
        raise errors.UsageError(
            "TRIGGER_DATABASE_URL is set: this project's runs are in PostgreSQL. Back that up with its own"
            " tools, such as `pg_dump --format=custom --file=FILE` with PGHOST, PGDATABASE and ~/.pgpass."
        )
