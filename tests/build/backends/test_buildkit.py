"""What BuildKit prints becomes events for the layers of a plan."""

from triggerdev.build.backends.buildkit import Reader
from triggerdev.build.progress import Event, Progress
from triggerdev.build.secrecy import Masker

STEPS = ["base", "apt-get", "mine"]  # behind FROM: WORKDIR, RUN, RUN
GOOD = """\
#1 [internal] load build definition from Containerfile
#1 sha256:aaaa
#1 DONE 0.0s

#4 [stage-0 1/4] FROM example.com/base
#4 CACHED

#5 [stage-0 2/4] WORKDIR /app
#5 DONE 0.1s

#6 [stage-0 3/4] RUN --mount=type=cache,target=/x ["/bin/sh", "-euc", "apt-get"]
#6 sha256:1111111111111111111111111111111111111111111111111111111111111111 0B / 1B
#6 0.512 Get:1 tree
#6 0.600 (Reading database ... \r(Reading database ... 100%
#6 DONE 2.5s
"""
BAD = """\
#7 [stage-0 4/4] RUN ["/bin/sh", "-euc", "cd /app\\nmake"]
#7 0.100 cc: error
#7 0.101 one ***
#7 ERROR: executor failed running [/bin/sh -euc cd /app
make]: exit code: 2
------
 > [stage-0 4/4] RUN ...:
------
#8 [stage-0 2/4] WORKDIR /app
#8 ERROR: context canceled
"""


def read(text: str, mask: Masker | None = None) -> tuple[list[Event], Reader]:
    told: list[Event] = []
    reader = Reader(STEPS, Progress(told.append, mask or Masker()))
    for line in text.split("\n"):
        reader.feed(line)
    return told, reader


def test_each_step_belongs_to_a_layer_and_has_its_time() -> None:
    told, reader = read(GOOD)
    over = [
        (event.name, event.status, event.seconds) for event in told if event.status not in (None, "started")
    ]
    assert over == [("base", "cached", None), ("base", "done", 0.1), ("apt-get", "done", 2.5)]
    assert reader.failed is None


def test_lines_of_a_step_are_passed_on_without_what_was_drawn_over() -> None:
    told, _ = read(GOOD)
    lines = [(event.name, event.text) for event in told if event.kind == "line"]
    assert lines == [("apt-get", "Get:1 tree"), ("apt-get", "(Reading database ... 100%")]


def test_a_failure_has_its_layer_its_exit_code_and_its_last_lines() -> None:
    _, reader = read(GOOD + BAD)
    assert reader.failed is not None
    assert (reader.failed.layer, reader.failed.reason) == ("mine", "exit code 2")
    assert reader.failed.lines == ["cc: error", "one ***"]


def test_secrets_are_masked_in_lines_in_the_tail_and_in_failures() -> None:
    mask = Masker()
    mask.add({"TOKEN": "s3cr3t-value"})
    text = BAD.replace("***", "s3cr3t-value").replace("cc: error", "\x1b[31ms3cr3t-value")
    told, reader = read(text, mask)
    assert reader.failed is not None
    assert reader.failed.lines == ["\\x1b[31m***", "one ***"]
    assert "s3cr3t" not in "".join(event.text for event in told)
    assert "s3cr3t" not in "".join(reader.tail)
