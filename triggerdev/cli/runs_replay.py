"""`trigger runs replay RUN`."""

from triggerdev.cli import options, project
from triggerdev.cli.output import Output


def replay(
    run: options.RunId,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Run it again as a new run with the same payload; print the new run's id."""
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        answer = api.replay(run)
    out.line(str(answer.get("id")))
    out.result(answer)
    out.say(f"{run} runs again; `trigger runs get {answer.get('id')}` shows the new run.")
