"""Every mistake of a file is told at once, at its place, with what to write instead."""

from pathlib import Path

import pytest

from tests.config.conftest import Load, Mistakes
from triggerdev.config import load_config
from triggerdev.errors import ConfigError


def test_all_mistakes_are_told_in_the_order_of_the_file(mistakes: Mistakes) -> None:
    text = """project = "p"
log_level = "warning"
max_duration = "5 minutes"
[retries]
enabled_in_dev = "yes"
[retries.default]
max_attempts = 0
[hooks]
on_succes = "a:b"
[build.extensions]
x = 3
"""
    assert mistakes(text) == [
        "2:13 expected 'debug', 'info', 'warn' or 'error'",
        '3:16 expected a duration: seconds, or text such as "5m" or "1h30m"',
        "5:18 expected true or false, got a string",
        "7:16 must be at least 1",
        "9:1 unknown key `on_succes` in [hooks]",
        "11:5 expected a table, got a whole number",
    ]


def test_a_mistake_is_shown_with_a_caret_and_the_nearest_name(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load('project = "p"\n[retries.default]\nmax_atempts = 3\n')
    assert str(caught.value) == (
        "unknown key `max_atempts` in [retries.default]\n"
        " --> trigger.config.toml:3:1\n"
        "  |\n"
        "3 | max_atempts = 3\n"
        "  | ^^^^^^^^^^^\n"
        "  = help: did you mean `max_attempts`?"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('dirs = ["../x"]', "2:9 expected a path inside the project, relative to the configuration's folder"),
        ('dirs = "x"', "2:8 expected a list, got a string"),
        ("dirs = []", "2:8 must not be empty"),
        (
            'telemetry.otlp.endpoint = "collector:4318"',
            '2:27 expected a URL such as "https://otel.example.com"',
        ),
        ("telemetry.otlp.headers = 3", "2:26 expected a table, got a whole number"),
        ("usage.cents_per_run = -1", "2:23 must be at least 0.0"),
        ("max_duration = 0", "2:16 a duration here must be longer than 0"),
        ("max_duration = true", '2:16 expected a duration: seconds, or text such as "5m" or "1h30m"'),
        ("ttl = -1", "2:7 a duration must be between 0 and 2147483647 seconds"),
        ("ttl = inf", "2:7 a duration must be between 0 and 2147483647 seconds"),
        ("ttl = 1979-05-27", '2:7 expected a duration: seconds, or text such as "5m" or "1h30m"'),
        ("retries = 3", "2:11 expected a table, got a whole number"),
        ('hooks.on_wait = "a.b"', '2:17 expected a reference: "package.module:name" or "./file.py:name"'),
        ('hooks.on_wait = ["a:b", 1]', "2:25 expected a string, got a whole number"),
        ('build.secrets = ["a b"]', "2:18 expected a variable's name: letters, digits, `_`"),
        ('build.extensions."a b" = {}', "2:18 expected an extension's name: letters, digits, `_`, `.`, `-`"),
        (
            'build.extensions.a = {use = "./b"}',
            '2:29 expected a reference: "package.module:name" or "./file.py:name"',
        ),
        (
            "build.extensions.a = {x = 1, options = {x = 2}}",
            "2:45 option `x` is given twice: in the table and in `options`",
        ),
        ("deploy.env = {A = 1}", "2:19 expected a string, got a whole number"),
        ("dev.max_concurrent_runs = 1.5", "2:27 expected a whole number, got a number"),
        (
            "retries.default = {min_timeout_in_ms = 9, max_timeout_in_ms = 1}",
            "2:63 `max_timeout_in_ms` is less than `min_timeout_in_ms` (9)",
        ),
        (
            'leases = {length = "1s", heartbeat = "400ms"}',
            "2:38 `heartbeat` (0.4 s) is more than a third of `length` (1 s)",
        ),
        ('leases.length = "3s"', "2:17 `heartbeat` (4 s) is more than a third of `length` (3 s)"),
        ("env = 1", "2:7 expected tables such as [env.prod]"),
        ("env.prod = 1", "2:12 expected a table of overrides: [env.prod]"),
        ("env.prod.env.x = 1", "2:10 unknown key `env`"),
    ],
)
def test_one_mistake_is_one_message_at_its_place(mistakes: Mistakes, line: str, expected: str) -> None:
    assert mistakes(f'project = "p"\n{line}\n') == [expected]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('onStart = "a:b"', "write it in the [hooks] table: `hooks.on_start = ...`"),
        ("extensions = []", "write each one as a table: [build.extensions.<name>]"),
        ('runtime = "pyhton"', 'did you mean "python"?'),
        ("log-level = 'info'", "did you mean `log_level`?"),
        ("logLevle = 'info'", "did you mean `log_level`?"),
        ("retries.x = 1", "known keys: default, enabled_in_dev"),
    ],
)
def test_the_help_says_what_to_write(load: Load, line: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(line)
    assert [one.help for one in caught.value.diagnostics] == [hint]


def test_a_key_in_two_spellings_is_told_once(mistakes: Mistakes) -> None:
    assert mistakes("logLevel = 'info'\nlog_level = 'warn'") == [
        "3:1 `log_level` is written twice: line 2 is the same key"
    ]


def test_a_missing_project_is_told_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "trigger.config.toml").write_text("# project\n")
    with pytest.raises(ConfigError, match="missing required key `project`"):
        load_config(tmp_path, environ={})


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        (b"a = 1\nb = \n", "not valid TOML: invalid value", (2, 5)),
        (b"a = '\xff'\n", "the byte 0xff is not valid UTF-8", (1, 6)),
        (b"a = " + b"[" * 100 + b"]" * 100, "nested too deeply", (1, 70)),
        (b"a = " + b"9" * 5000, "not usable: Exceeds the limit", (1, 1)),
        (b"a = 1\na = 2", "not valid TOML: cannot overwrite a value", (2, 6)),
    ],
)
def test_what_is_no_toml_is_told_at_its_place(
    tmp_path: Path, text: bytes, message: str, place: tuple[int, int]
) -> None:
    (tmp_path / "trigger.config.toml").write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, environ={})
    (found,) = caught.value.diagnostics
    assert found.message.startswith(message)
    assert (found.line, found.column) == place


def test_control_characters_of_the_file_do_not_reach_the_terminal(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load('"\\u001b[31m" = 1\n"\u009b" = 2\nx = "\t" # \u202e')
    assert "".join(str(caught.value).split("\n")).isprintable()


def test_the_caret_stands_under_wide_characters_and_long_lines_are_cut(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load('build.extensions."日本" = {}\nbuild.exclude = [' + '"x", ' * 100 + "1]")
    lines = str(caught.value).split("\n")
    assert lines[lines.index('2 | build.extensions."日本" = {}') + 1] == "  | " + " " * 17 + "^" * 6
    assert max(len(line) for line in lines) < 120


def test_a_file_with_windows_line_ends_has_the_same_places(tmp_path: Path) -> None:
    (tmp_path / "trigger.config.toml").write_bytes(b'\xef\xbb\xbfproject = "p"\r\n\r\nttl = true\r\n')
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, environ={})
    assert [(one.line, one.column, one.source) for one in caught.value.diagnostics] == [(3, 7, "ttl = true")]


def test_without_a_file_it_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "inner").mkdir()
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "inner", environ={})
    assert str(tmp_path / "inner") in str(caught.value)
    assert f"{tmp_path}\n" in str(caught.value)
    assert f"{tmp_path.parent}\n" not in str(caught.value)
    assert "trigger init" in str(caught.value)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "nothing", environ={})
