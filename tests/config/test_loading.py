"""What a configuration means: spellings, overrides, variables, origins."""

from pathlib import Path

import pytest

from tests.config.conftest import Load, Mistakes
from triggerdev.config import Origin, config_error, load_config
from triggerdev.errors import ConfigError

SEED = """
# The seed's "Basic Configuration", in TOML.
project = "seed-gallery"
dirs = ["./trigger"]
runtime = "python"
log_level = "info"
max_duration = 300
default_machine = "small-1x"

[retries]
enabled_in_dev = true

[retries.default]
max_attempts = 3
min_timeout_in_ms = 200
max_timeout_in_ms = 1000
factor = 2
randomize = true

[hooks]
on_start = "trigger.hooks:on_start"

[build.extensions.apt-get]
packages = ["imagemagick", "curl"]

[build.extensions.additional-files]
files = ["./assets/**"]

[build.extensions.sync-env-vars]
callback = "trigger.hooks:env_vars"

[build.extensions.banner]
use = "./build_support/banner.py:BannerExtension"
options = { text = "seed gallery" }
"""


def test_the_seed_s_configuration_loads(load: Load) -> None:
    config = load(SEED).config
    assert config.max_duration == 300
    assert config.retries.default is not None
    assert config.retries.default.factor == 2
    assert config.hooks.by_name() == {"on_start": ["trigger.hooks:on_start"]}
    assert list(config.build.extensions) == ["apt-get", "additional-files", "sync-env-vars", "banner"]
    assert config.build.extensions["banner"].arguments == {"text": "seed gallery"}
    assert config.build.extensions["apt-get"].arguments == {"packages": ["imagemagick", "curl"]}


def test_camel_case_is_accepted_for_our_keys_and_left_alone_in_the_user_s(load: Load) -> None:
    config = load("""
machine = "micro"
ignorePatterns = ["x"]
extraCACerts = "ca.pem"
[processKeepAlive]
maxExecutionsPerProcess = 3
[retries]
enabledInDev = false
default = { maxTimeoutInMs = 5000 }
[build.extensions.myExt]
requirementsFile = "r.txt"
files = [{ source = "a", allowOutside = true }]
options = { camelKey = { innerKey = 1 } }
[deploy.env]
featureX = "on"
[telemetry.resource]
serviceName = "x"
[env.dev]
logLevel = "debug"
""").config
    assert (config.default_machine, config.ignore, config.extra_ca_certs) == ("micro", ["x"], "ca.pem")
    assert config.process_keep_alive.max_executions_per_process == 3
    assert not config.retries.enabled_in_dev
    assert config.retries.default is not None
    assert config.retries.default.max_timeout_in_ms == 5000
    assert config.build.extensions["myExt"].arguments == {
        "requirements_file": "r.txt",
        "files": [{"source": "a", "allow_outside": True}],
        "camelKey": {"innerKey": 1},
    }
    assert (config.deploy.env, config.telemetry.resource) == ({"featureX": "on"}, {"serviceName": "x"})
    assert config.log_level == "debug"


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 90), ("1.5", 1.5), ('"5m"', 300), ('"1h30m"', 5400), ('"100ms"', 0.1)]
)
def test_durations_are_seconds_or_text(load: Load, written: str, seconds: float) -> None:
    assert load(f"ttl = {written}").config.ttl == seconds


def test_shorthands_mean_what_they_stand_for(load: Load) -> None:
    config = load("""
processKeepAlive = false
init = "a:b"
hooks.on_start = ["a.b:c", "./d.py:e.f"]
telemetry.exporters = ["a:B", { use = "a:C", options = { d = 1 } }]
dev.env_file = ".env"
build.extensions = { x = false, y = true }
""").config
    assert not config.process_keep_alive.enabled
    assert config.hooks.on_start == ["a.b:c", "./d.py:e.f"]
    assert [(item.use, item.options) for item in config.telemetry.exporters] == [
        ("a:B", {}),
        ("a:C", {"d": 1}),
    ]
    assert list(config.build.enabled_extensions()) == ["y"]


OVERRIDES = """
log_level = "info"
dirs = ["a", "b"]
[retries.default]
max_attempts = 3
factor = 4
[build.extensions.x]
n = 1
[env.prod]
log_level = "warn"
dirs = ["c"]
retries.default.max_attempts = 9
build.extensions.x = { m = 2 }
build.extensions.y = { n = 3 }
"""


def test_an_environment_merges_tables_and_replaces_the_rest(load: Load) -> None:
    config = load(OVERRIDES, "prod").config
    assert (config.log_level, config.dirs) == ("warn", ["c"])
    assert config.retries.default is not None
    assert (config.retries.default.max_attempts, config.retries.default.factor) == (9, 4)
    assert config.build.extensions["x"].arguments == {"n": 1, "m": 2}
    assert list(config.build.extensions) == ["x", "y"]
    assert load(OVERRIDES, "dev").config.log_level == "info"


def test_mistakes_of_other_environments_are_told_too(mistakes: Mistakes) -> None:
    assert mistakes(
        'project = "p"\nlog_level = 3\n[env.prod]\nttl = "x"\n[env.staging]\nttl = "${UNSET}"'
    ) == [
        "2:13 expected 'debug', 'info', 'warn' or 'error', got a whole number",
        '4:7 expected a duration: seconds, or text such as "5m" or "1h30m" (overridden by [env.prod])',
    ]


def test_variables_are_filled_in_everywhere_in_strings(load: Load) -> None:
    config = load(
        """
max_duration = "${LIMIT:-5m}"
deploy = { registry = "${HOST}/x", env = { A = "$${X} costs $5", B = "${EMPTY:-full}" } }
[build.extensions.e]
options = { deep = [{ list = ["${HOST}"] }] }
""",
        HOST="reg",
        EMPTY="",
    ).config
    assert config.max_duration == 300
    assert config.deploy.registry == "reg/x"
    assert config.deploy.env == {"A": "${X} costs $5", "B": "full"}
    assert config.build.extensions["e"].arguments == {"deep": [{"list": ["reg"]}]}


def test_variables_that_are_missing_or_malformed_are_told_at_their_place(mistakes: Mistakes) -> None:
    text = (
        'project = "p"\nttl = "${A}"\ndeploy.registry = "x/${B:?needed to push}"\ndeploy.env = {C = "${1}${"}'
    )
    assert mistakes(text) == [
        "2:8 the variable `A` is not set",
        "3:22 the variable `B` is not set: needed to push",
        "4:20 expected `${NAME}` or `${NAME:-default}`",
        "4:24 expected `${NAME}` or `${NAME:-default}`",
    ]


def test_a_wrong_value_from_a_variable_names_the_variable_and_hides_the_value(mistakes: Mistakes) -> None:
    found = mistakes('ttl = "${TTL}"', TTL="s3cret")
    assert found == [
        '2:7 expected a duration: seconds, or text such as "5m" or "1h30m" (the value comes from ${TTL})'
    ]


def test_env_files_feed_variables_below_the_real_environment(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    (tmp_path / "more.env").write_text("B=more\nC=more\n")
    text = 'project="p"\ndeploy.registry = "${A}-${B}"'
    loaded = load(text, A="real")
    assert (loaded.config.deploy.registry, loaded.environ["B"]) == ("real-file", "file")
    again = load_config(tmp_path, environ={}, env_files=[tmp_path / "more.env"])
    assert again.config.deploy.registry == "file-more"
    assert again.environ["C"] == "more"


def test_an_env_file_that_the_configuration_names_must_exist(mistakes: Mistakes, tmp_path: Path) -> None:
    assert mistakes('dev.env_file = ["nope.env"]') == [
        f"2:16 env file {tmp_path / 'nope.env'} does not exist"
    ]


def test_the_project_may_come_from_the_environment(load: Load) -> None:
    loaded = load('project = "p"', TRIGGER_PROJECT_REF="q")
    assert loaded.config.project == "q"
    assert loaded.origins["project"] == Origin("variable", "TRIGGER_PROJECT_REF at trigger.config.toml:1")


def test_origins_tell_where_each_value_came_from(load: Load) -> None:
    origins = load('project = "p"\nttl = "${T:-5m}"\nprocess_keep_alive = true\n' + OVERRIDES, "prod").origins
    assert origins["project"] == Origin("file", "trigger.config.toml:1")
    assert origins["ttl"] == Origin("variable", "T at trigger.config.toml:2")
    assert origins["process_keep_alive.enabled"] == Origin("file", "trigger.config.toml:3")
    assert origins["log_level"] == Origin("env override", "[env.prod] at trigger.config.toml:13")
    assert origins["retries.default.max_attempts"].kind == "env override"
    assert origins["retries.default.factor"] == Origin("file", "trigger.config.toml:9")
    assert origins["build.extensions.x.n"].kind == "file"
    assert origins["max_duration"] == Origin("default", "")


def test_others_can_point_at_a_place(load: Load) -> None:
    loaded = load('project = "p"\n[build.extensions.x]\nfiles = ["a", "b"]\n')
    path = ("build", "extensions", "x")
    assert loaded.position((*path, "files", 1)).column == 15
    assert loaded.position((*path, "missing")).line == 2
    error = config_error([loaded.diagnostic((*path, "files", 0), "no match", help="look again")])
    assert str(error).startswith("no match\n --> trigger.config.toml:3:10\n")
    assert loaded.diagnostic((*path, "files"), "odd", at_key=True).column == 1


def test_the_file_is_found_from_below_and_by_its_own_path(load: Load, tmp_path: Path) -> None:
    load('project = "p"')
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert load_config(tmp_path / "a" / "b", environ={}).root == tmp_path
    assert load_config(tmp_path / "trigger.config.toml", environ={}).root == tmp_path
    assert load_config(None, environ={}).path == tmp_path / "trigger.config.toml"


def test_a_folder_without_a_readable_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "b\udcff"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"b\\udcff is not valid UTF-8"):
        load_config(folder, environ={})
