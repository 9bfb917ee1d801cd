"""Control groups, on a folder that looks as the system's does: when they are used, what is written."""

import os
from pathlib import Path

import pytest

from triggerdev.worker import confining
from triggerdev.worker.cgroups import Group, Groups, find_groups
from triggerdev.worker.executor.confinement import Confinement

MB = 2**20


class System:
    """A mounted hierarchy with our group in it, and /proc/self/cgroup."""

    def __init__(self, root: Path) -> None:
        self.mount = root / "cgroup"
        self.own = root / "self"
        self.folder = self.mount / "user" / "ours"
        self.folder.mkdir(parents=True)
        self.own.write_text("12:pids:/elsewhere\n0::/user/ours\n")
        (self.mount / "cgroup.controllers").write_text("cpu memory\n")
        (self.folder / "cgroup.controllers").write_text("cpu memory pids\n")
        (self.folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
        (self.folder / "cgroup.subtree_control").write_text("")

    def find(self, *, divide: bool = True) -> Groups:
        return find_groups(self.mount, self.own, divide=divide)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_a_delegated_group_is_divided(system: System) -> None:
    groups = system.find()
    assert groups.folder == system.folder
    assert (system.folder / "cgroup.subtree_control").read_text() == "+memory"
    assert (system.folder / "triggerdev-main" / "cgroup.procs").read_text() == str(os.getpid())


def test_looking_changes_nothing(system: System) -> None:
    before = sorted(system.folder.rglob("*"))
    assert system.find(divide=False).folder == system.folder
    assert sorted(system.folder.rglob("*")) == before
    assert (system.folder / "cgroup.subtree_control").read_text() == ""


def test_one_that_is_divided_already_is_taken_as_it_is(system: System) -> None:
    (system.folder / "cgroup.subtree_control").write_text("memory")
    assert system.find().folder == system.folder
    assert not (system.folder / "triggerdev-main").exists()


def test_a_group_with_other_processes_is_not_ours(system: System) -> None:
    (system.folder / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    groups = system.find()
    assert (groups.folder, groups.reason) == (None, "its control group holds other processes, such as 1")
    assert groups.make(1) == Group()


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("self", "4:memory:/process\n", "no control groups of version 2"),
        ("cgroup/user/ours/cgroup.controllers", "cpu\n", "its control group has no memory controller"),
    ],
)
def test_a_system_without_them_is_recognised(
    system: System, tmp_path: Path, file: str, text: str, reason: str
) -> None:
    (tmp_path / file).write_text(text)
    assert system.find().reason == reason


def test_a_system_that_refuses_is_believed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def refuse(path: Path, text: str, encoding: str | None = None) -> int:
        if path.name == "cgroup.subtree_control":
            raise OSError(16, "Device or resource busy")
        return write(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "rmdir", lambda path: None)  # a real group's files do not keep it
    groups = system.find()
    assert groups.reason == "its control group cannot be divided: Device or resource busy"
    assert (system.folder / "cgroup.procs").read_text() == str(os.getpid()), "back where we were"


def test_a_worker_gets_a_group_and_what_happened_in_it_is_read(system: System) -> None:
    group = system.find().make(7)
    assert group.folder is not None
    assert (group.folder / "memory.swap.max").read_text() == "0"
    assert (group.folder / "memory.oom.group").read_text() == "1"
    (group.folder / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\n")
    assert not group.ran_out()
    (group.folder / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 1\n")
    assert group.ran_out()


def test_a_process_bounds_itself_by_its_group(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text(f"{10 * MB}\n")
    confined = confining.confine(str(tmp_path))
    assert confined.bounds
    assert (tmp_path / "cgroup.procs").read_text() == str(os.getpid())
    (tmp_path / "memory.current").write_text(f"{30 * MB}\n")
    confined.enter("micro")
    assert (tmp_path / "memory.max").read_text() == str(286 * MB), "beyond what it has when the run begins"
    confined.share("micro", 1)
    assert (tmp_path / "memory.max").read_text() == str((10 + 512 + 64) * MB), "beyond what it had at first"
    confined.lift()
    assert (tmp_path / "memory.max").read_text() == "max"


def test_a_group_that_cannot_be_joined_is_done_without(tmp_path: Path) -> None:
    confined = confining.confine(str(tmp_path / "gone"))
    assert isinstance(confined, Confinement)
    assert confined.bounds is confining.can_limit_data()
