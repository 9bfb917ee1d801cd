"""`trigger queues limit QUEUE N|reset`."""

from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import options, project
from triggerdev.cli.output import Output

_RESET = "reset"
_MOST = 100_000


def limit(
    queue: Annotated[
        str, typer.Argument(metavar="QUEUE", help="A name as `trigger queues` shows it, or an id.")
    ],
    number: Annotated[
        str, typer.Argument(metavar="N|reset", help="Runs that execute at once; `reset`: the declared limit.")
    ],
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Let another limit count than the one in code, in later versions of it too, until it is reset."""
    from triggerdev.cli.api import Api
    from triggerdev.cli.queues_list import full_name, row

    out = Output(json)
    wanted = _wanted(number)
    with Api(project.find_server(api_url, config)) as api:
        try:
            if wanted is None:
                found = api.change_queue(queue, "concurrency/reset")
            else:
                found = api.change_queue(queue, "concurrency/override", concurrencyLimit=wanted)
        except errors.NotFoundError as error:
            error.add_note(f"{queue!r} is unknown: `trigger queues` lists them.")
            raise
    out.result(found)
    out.line(f"{full_name(found)}: {row(found)[3]}")


def _wanted(text: str) -> int | None:
    if text == _RESET:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _MOST):
        raise errors.UsageError(f"{text!r} is no limit: give a number of 0 to {_MOST}, or `{_RESET}`.")
    return int(text)
