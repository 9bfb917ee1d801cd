"""Options that several commands share, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout; one object a line when following.")
]
Plain = Annotated[
    bool, typer.Option("--plain", help="No colours, also on a terminal (NO_COLOR does the same).")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="PATH", help="The project: its folder or its trigger.config.toml."
    ),
]
EnvFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--env-file", metavar="FILE", help="Variables to load besides .env and .env.local; repeatable."
    ),
]
Env = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Use the config's [env.NAME] overrides.")
]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api-url", metavar="URL", help="The server (or TRIGGER_API_URL); else the running `trigger dev`."
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id (run_...).")]
