"""What podman and buildah print becomes events for the layers of a plan."""

from triggerdev.build.backends.buildah_output import Reader
from triggerdev.build.progress import Event, Progress
from triggerdev.build.secrecy import Masker

INSTRUCTIONS = ["base", "base", "apt-get", "mine"]  # FROM, USER, RUN, RUN
GOOD = """\
STEP 1/4: FROM example.com/base
STEP 2/4: USER 0
--> Using cache 0123456789ab
--> 0123456789ab
STEP 3/4: RUN --mount=type=cache,target=/x ["/bin/sh", "-euc", "apt-get"]
Get:1 tree
(Reading database ... \r(Reading database ... 100%
--> 1123456789ab
"""
BAD = """\
STEP 4/4: RUN ["/bin/sh", "-euc", "make"]
cc: s3cr3t-value
Error: building at STEP "RUN ["/bin/sh", "-euc", "cd /app
make"]": while running runtime: exit status 2
"""


def read(text: str, status: int) -> tuple[list[Event], Reader]:
    told: list[Event] = []
    mask = Masker()
    mask.add({"TOKEN": "s3cr3t-value"})
    reader = Reader(INSTRUCTIONS, Progress(told.append, mask))
    for line in text.split("\n"):
        reader.feed(line)
    reader.end(status)
    return told, reader


def test_each_step_belongs_to_a_layer_and_has_its_end() -> None:
    told, reader = read(GOOD, 0)
    over = [(event.name, event.status) for event in told if event.status not in (None, "started")]
    assert over == [("base", "done"), ("base", "cached"), ("apt-get", "done")]
    assert all(event.seconds is not None for event in told if event.status == "done")
    assert reader.failed is None


def test_lines_are_passed_on_without_what_was_drawn_over() -> None:
    told, _ = read(GOOD, 0)
    lines = [(event.name, event.text) for event in told if event.kind == "line"]
    assert lines == [("apt-get", "Get:1 tree"), ("apt-get", "(Reading database ... 100%")]


def test_a_failure_has_its_layer_its_exit_code_and_its_last_lines_without_secrets() -> None:
    told, reader = read(GOOD + BAD, 1)
    assert reader.failed is not None
    assert (reader.failed.layer, reader.failed.reason) == ("mine", "exit code 2")
    assert reader.failed.lines == ["cc: ***"]
    assert told[-1].status == "failed"
    assert "s3cr3t" not in "".join(event.text for event in told)
