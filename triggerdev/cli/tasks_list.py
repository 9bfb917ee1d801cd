"""`trigger tasks list`."""

import os
import re
from typing import Any, cast

from triggerdev import _durations, errors
from triggerdev.cli import options, project
from triggerdev.cli.output import Output
from triggerdev.protocol import TaskInfo

_HEADERS = ("TASK", "KIND", "QUEUE OR SCHEDULE", "DEFINED AT")
_OTHER_NAMES = {"filePath": "file", "exportName": "export"}


def list_tasks(
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    env: options.Env = None,
    env_file: options.EnvFile = None,
    json: options.Json = False,
    plain: options.Plain = False,
) -> None:
    """List the project's tasks: those of the running server, else those that its files define."""
    from triggerdev.dev.render import task_row

    out = Output(json, plain)
    tasks = _of_server(api_url, config)
    source = "server"
    if tasks is None:
        source, tasks = "files", _of_files(config, env, env_file)
    out.result({"source": source, "tasks": tasks})
    if tasks:
        out.table(_HEADERS, [task_row(task) for task in sorted(tasks, key=lambda task: task["id"])])
    else:
        out.say("no tasks: put a function with @task into a file of the task folder")


def _of_server(api_url: options.ApiUrl, config: options.Config) -> list[TaskInfo] | None:
    """Ask the server; None if none is named and no `trigger dev` answers."""
    from triggerdev.cli.api import Api

    try:
        with Api(project.find_server(api_url, config)) as api:
            return [as_task_info(task) for task in api.tasks()]
    except errors.ConnectionFailedError:
        if api_url or os.environ.get("TRIGGER_API_URL"):
            raise
        return None


def _of_files(config: options.Config, env: options.Env, env_file: options.EnvFile) -> list[TaskInfo]:
    from triggerdev.cli.indexing import index
    from triggerdev.config import load_config

    root = project.require_root(config)
    loaded = load_config(root, env_name=env or "dev", environ=os.environ, env_files=env_file or ())
    return index(loaded)["tasks"]


def as_task_info(task: dict[str, Any]) -> TaskInfo:
    """Translate a task of the HTTP API into the form that a manifest has."""
    found: Any = {_OTHER_NAMES.get(name) or _snake_case(name): value for name, value in task.items()}
    for name in ("queue", "retry"):
        if isinstance(found.get(name), dict):
            found[name] = {_snake_case(key): value for key, value in found[name].items()}
    if "ttl" in found:
        found["ttl_ms"] = _durations.parse_duration_ms(str(found.pop("ttl")))
    found.pop("trigger_source", None)
    found["id"] = str(task.get("id", ""))
    return cast("TaskInfo", found)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda hit: f"_{hit.group().lower()}", name)
