"""The fixed shell scripts, run here with other paths in place of those of an image."""

import subprocess
from pathlib import Path

import pytest

from triggerdev.build import scripts


@pytest.mark.parametrize("name", ["apt", "layer", "pip", "uv"])
def test_scripts_are_posix_shell(name: str) -> None:
    subprocess.run(["/bin/sh", "-n", "-c", scripts.script(name)], check=True)


def run_layer(
    tmp_path: Path, *commands: str, env: tuple[tuple[str, str], ...] = ()
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "app").mkdir(exist_ok=True)
    words = [
        word.replace("/run/trigger/layer", f"{tmp_path}/layer")
        .replace("cd /app", f"cd {tmp_path}/app")
        .replace('t="/', f't="{tmp_path}/root/')
        for word in scripts.shell("layer", commands, env)
    ]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_files_are_copied_whatever_their_names_and_folders_keep_their_modes(tmp_path: Path) -> None:
    names = ["plain", "with space", "quote'\"", "$(touch evil)", "-rf", "a/b/c"]
    for name in names:
        path = tmp_path / "layer" / "srv" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o755 if name == "plain" else 0o644)
    (tmp_path / "root/srv").mkdir(parents=True)
    (tmp_path / "root/srv").chmod(0o700)
    done = run_layer(tmp_path)
    assert done.returncode == 0, done.stderr
    copied = tmp_path / "root/srv"
    assert sorted(
        path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()
    ) == sorted(names)
    assert (copied / "plain").stat().st_mode & 0o777 == 0o755
    assert copied.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.rglob("evil"))


def test_commands_run_one_by_one_and_show_no_values(tmp_path: Path) -> None:
    done = run_layer(
        tmp_path, 'X=1; echo "$TOKEN" > out', 'test -z "${X:-}"', env=(("TOKEN", "hunter2-text"),)
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "app/out").read_text() == "hunter2-text\n"
    assert "hunter2" not in done.stdout + done.stderr
    assert run_layer(tmp_path, "false", "touch never").returncode != 0
    assert not (tmp_path / "app/never").exists()
