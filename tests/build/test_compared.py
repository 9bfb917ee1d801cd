"""A plan beside the version that is current: tasks and variables that are new, changed, equal, gone."""

import dataclasses
from pathlib import Path
from typing import Any

from tests.build.test_deployments import NOW, ONE
from triggerdev.build import compared
from triggerdev.build.deployments import Deployment, Deployments

DAILY = {"cron": "0 9 * * *", "timezone": "UTC", "environments": None}


def task(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "file": "trigger/a.py", "line": 1, "machine": None, "schedule": None, **fields}


def before(*tasks: dict[str, Any], variables: tuple[str, ...] = ()) -> Deployment:
    return dataclasses.replace(ONE, tasks=list(tasks), variables=list(variables))


def test_without_a_version_everything_is_new() -> None:
    (only,) = compared.tasks([task("a")], None)
    assert (only["change"], only["changes"]) == ("+", [])
    assert compared.removed(None, ["a"], ["B"]) == {"tasks": [], "env": []}
    assert compared.variable("B", None) == "unknown"


def test_what_has_changed_is_told_by_field() -> None:
    known = before(task("a"), task("b", machine="micro"), task("c", schedule=DAILY))
    now = [
        task("a", file="trigger/moved.py", line=9),
        task("b", machine="large-1x"),
        task("c", schedule={**DAILY, "cron": "0 8 * * *"}),
        task("d"),
    ]
    found = compared.tasks(now, known)
    assert [each["change"] for each in found] == ["=", "~", "~", "+"]
    assert found[1]["changes"] == ["machine micro -> large-1x"]
    assert found[2]["changes"] == ["schedule 0 9 * * * UTC -> 0 8 * * * UTC"]


def test_what_is_gone_is_named() -> None:
    known = before(task("b"), task("a"), task("c"), variables=("OLD", "KEPT"))
    assert compared.removed(known, ["c"], ["KEPT", "NEW"]) == {"tasks": ["a", "b"], "env": ["OLD"]}
    assert [compared.variable(name, known) for name in ("KEPT", "NEW")] == ["unknown", "+"]


def test_the_version_that_is_current_counts_and_not_the_newest(tmp_path: Path) -> None:
    history = Deployments(tmp_path, "prod")
    assert compared.current(history) is None
    for version in ("20261127.1", "20261127.2"):
        history.add(dataclasses.replace(ONE, version=version))
    history.promote("20261127.1", NOW)
    found = compared.current(history)
    assert found is not None
    assert found.version == "20261127.1"
