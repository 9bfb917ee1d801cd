"""What a build says while it goes on."""

import json

import pytest

from triggerdev import errors
from triggerdev.build.progress import Event, Progress
from triggerdev.build.secrecy import Masker
from triggerdev.cli import deploy_progress


def test_a_phase_has_a_beginning_an_end_and_a_time() -> None:
    told: list[Event] = []
    progress = Progress(told.append)
    with progress.phase("layers", "two"):
        pass
    assert [(event.status, event.text) for event in told] == [("started", "two"), ("done", "two")]
    assert progress.seconds["layers"] == told[-1].seconds


def test_a_phase_that_raises_has_failed() -> None:
    told: list[Event] = []
    with pytest.raises(errors.BuildError), Progress(told.append).phase("layers"):
        raise errors.BuildError("no")
    assert told[-1].status == "failed"


def test_texts_are_masked() -> None:
    mask = Masker()
    mask.add({"TOKEN": "s3cr3t-value"})
    told: list[Event] = []
    Progress(told.append, mask).tell(Event("line", "mine", text="it is s3cr3t-value\x1b[2J"))
    assert told[0].text == "it is ***\\x1b[2J"


EVENTS = [
    Event("phase", "base", "started", "example.com/base"),
    Event("step", "apt-get", "started", "RUN ..."),
    Event("line", "apt-get", text="Get:1 \x1b[31mtree"),
    Event("step", "apt-get", "done", seconds=2.51),
    Event("phase", "base", "done", "example.com/base", 3.0),
]


def test_plain_progress_is_a_line_for_what_is_worth_one(capsys: pytest.CaptureFixture[str]) -> None:
    with deploy_progress.shown("plain") as sink:
        for event in EVENTS:
            sink(event)
    lines = [line[10:] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "Building what is executed (example.com/base) ...",
        "apt-get: Get:1 \\x1b[31mtree",
        "apt-get: done 2.5 s",
        "Building what is executed (example.com/base): done in 3.0 s",
    ]


def test_progress_as_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with deploy_progress.shown("json") as sink:
        for event in EVENTS:
            sink(event)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[3] == {"event": "step", "name": "apt-get", "status": "done", "seconds": 2.51}
    assert len(lines) == len(EVENTS)


def test_live_progress_leaves_a_line_for_each_phase(capsys: pytest.CaptureFixture[str]) -> None:
    with deploy_progress.shown("tty") as sink:
        for event in EVENTS:
            sink(event)
    shown = capsys.readouterr().err
    assert "Building what is executed (example.com/base) 3.0 s" in shown
    assert "\x1b[31mtree" not in shown


def test_an_unknown_kind_of_progress_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="--progress must be one of"), deploy_progress.shown("fancy"):
        pass
