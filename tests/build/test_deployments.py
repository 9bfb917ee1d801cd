"""Versions: how they are called, which one is current, and what happens to a record that is damaged."""

import dataclasses
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from triggerdev import errors
from triggerdev.build.deployments import BuiltImage, Deployment, Deployments, Layer

NOW = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
IMAGE = BuiltImage(
    "trigger/demo:1",
    "image",
    "sha256:aa",
    "sha256:bb",
    "linux/amd64",
    (Layer("k", "sha256:cc", "sha256:dd", 7),),
)
ONE = Deployment(
    "20261127.1",
    "prod",
    "2026-11-27T23:30:00Z",
    "key",
    IMAGE,
    {"source": "k"},
    [{"id": "hello"}],
    "hash",
    "image",
)


@pytest.fixture
def history(tmp_path: Path) -> Deployments:
    return Deployments(tmp_path, "prod")


def deployed(history: Deployments, *versions: str) -> None:
    for version in versions:
        history.add(dataclasses.replace(ONE, version=version, key=f"key of {version}"))
        history.promote(version, NOW)


def test_versions_count_within_a_day_of_utc(history: Deployments) -> None:
    assert history.next_version(NOW) == "20261127.1"
    deployed(history, "20261127.1", "20261127.9", "20261126.30")
    assert history.next_version(NOW) == "20261127.10"
    assert history.next_version(datetime.fromisoformat("2026-11-28T00:30:00+01:00")) == "20261127.10"
    assert history.next_version(datetime.fromisoformat("2026-11-28T00:30:00+00:00")) == "20261128.1"


def test_the_newest_comes_first_by_number_and_not_by_letters(history: Deployments) -> None:
    deployed(history, "20261127.2", "20261127.10", "20261126.99")
    assert [each.version for each in history.all()] == ["20261127.10", "20261127.2", "20261126.99"]


def test_what_is_recorded_is_read_again(history: Deployments) -> None:
    history.add(ONE)
    assert history.get("20261127.1") == ONE
    assert history.equal_to("key") == ONE
    assert history.equal_to("another") is None


def test_rolling_back_goes_on_backwards(history: Deployments) -> None:
    deployed(history, "20261127.1", "20261127.2", "20261127.3")
    gone_to = []
    for _ in range(2):
        version = history.before_current()
        history.promote(version, NOW)
        gone_to.append(version)
    assert gone_to == ["20261127.2", "20261127.1"]
    with pytest.raises(errors.UsageError, match="no version of 'prod' to go back to"):
        history.before_current()


def test_a_version_that_was_never_current_is_not_gone_back_to(history: Deployments) -> None:
    deployed(history, "20261127.1")
    history.add(dataclasses.replace(ONE, version="20261127.2"))
    deployed(history, "20261127.3")
    assert history.before_current() == "20261127.1"


def test_promoting_the_current_version_changes_nothing(history: Deployments) -> None:
    deployed(history, "20261127.1")
    assert history.promote("20261127.1", NOW) is False
    assert len(history.promotions()) == 1


@pytest.mark.parametrize("version", ["20261127.7", "latest", "../../x", "20261127.1\n", ""])
def test_a_version_that_does_not_exist_is_named(history: Deployments, version: str) -> None:
    deployed(history, "20261127.1")
    with pytest.raises(errors.UsageError, match=r"there is no version|is no version"):
        history.promote(version, NOW)
    assert history.current == "20261127.1"


def test_environments_have_versions_of_their_own(history: Deployments, tmp_path: Path) -> None:
    deployed(history, "20261127.1")
    assert Deployments(tmp_path, "staging").all() == []
    assert Deployments(tmp_path, "staging").current is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', "\x00"])
def test_a_damaged_version_is_left_out(history: Deployments, tmp_path: Path, text: str) -> None:
    deployed(history, "20261127.1")
    (tmp_path / ".trigger/deployments/prod/20261127.2.json").write_text(text)
    assert [each.version for each in history.all()] == ["20261127.1"]
    assert history.next_version(NOW) == "20261127.3"


def test_damaged_promotions_say_what_to_do(history: Deployments, tmp_path: Path) -> None:
    deployed(history, "20261127.1")
    (tmp_path / ".trigger/deployments/prod/promotions.json").write_text("{")
    with pytest.raises(errors.EnvironmentProblemError, match="delete it and promote a version"):
        _ = history.current


def test_two_deploys_at_once_are_refused(history: Deployments, tmp_path: Path) -> None:
    with history.locked():
        process = multiprocessing.get_context("spawn").Process(target=_locks, args=(tmp_path,))
        process.start()
        process.join(30)
    assert process.exitcode == 7


def _locks(root: Path) -> None:
    try:
        with Deployments(root, "prod").locked():
            raise SystemExit(0)
    except errors.AlreadyRunningError:
        raise SystemExit(7) from None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".trigger").write_text("a file")
    with pytest.raises(errors.EnvironmentProblemError, match=r"cannot write .*deployments/prod"):
        Deployments(tmp_path, "prod").add(ONE)
