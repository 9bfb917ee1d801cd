"""Extensions: where they come from, what their hooks may do, and what is said when one of them is wrong."""

import asyncio
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.build.support import Project, ids, layer_of
from triggerdev import errors
from triggerdev.build import loading

OBJECT = """
class Hooks:
    def externals_for_target(self, target):
        return [f"native_{target}"]

    def on_build_start(self, context):
        context.add_layer({"id": "early", "commands": ["true"]})

    async def on_build_complete(self, context, manifest):
        context.add_layer({"id": "late", "commands": [f"echo {len(manifest.layers)} {manifest.files[-1]}"]})


instance = Hooks()


def factory(word="x"):
    hooks = Hooks()
    hooks.on_build_start = lambda context: context.add_layer({"id": word, "commands": ["true"]})
    return hooks
"""


def config_error(project: Project) -> errors.Diagnostic:
    with pytest.raises(errors.ConfigError) as caught:
        project.outcome()
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    "use", ["./lib/ext.py:Hooks", "lib.ext:Hooks", "./lib/ext.py:instance", "lib.ext:factory"]
)
def test_an_extension_is_any_object_with_hooks(project: Project, use: str) -> None:
    project.write("lib/ext.py", OBJECT)
    project.config(f'[build.extensions.mine]\nuse = "{use}"\n')
    outcome = project.outcome()
    assert outcome.externals == ("native_deploy",)
    assert {each.layer.id for each in outcome.contributions} == {"x" if "factory" in use else "early", "late"}
    late = next(each.layer for each in outcome.contributions if each.layer.id == "late")
    assert late.commands == ["echo 1 trigger/hello.py"]


def test_an_installed_extension_has_a_name_like_a_built_in_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(group: str, name: str | None = None) -> list[EntryPoint]:
        known = EntryPoint("hooks", "installed_ext:Hooks", loading.GROUP)
        return [known] if name in (None, "hooks") else []

    monkeypatch.setattr(loading, "entry_points", installed)
    project.write("installed_ext.py", OBJECT)
    project.config("[build.extensions.hooks]\n")
    assert [each.extension for each in project.outcome().contributions] == ["hooks", "hooks"]


def test_modules_of_a_project_are_forgotten_after_the_build(project: Project, tmp_path: Path) -> None:
    project.write("lib/ext.py", OBJECT)
    project.config('[build.extensions.mine]\nuse = "lib.ext:Hooks"\n')
    assert ids(project.plan().document).count("early") == 1
    assert not any("lib.ext" in name for name in sys.modules)
    # The same size within the same second: only the text tells that it changed.
    project.write("lib/ext.py", OBJECT.replace("early", "EARLY"))
    assert ids(project.plan().document).count("EARLY") == 1
    assert not list(project.root.rglob("*.pyc"))


def test_a_second_instance_has_a_table_name_of_its_own(project: Project) -> None:
    project.write("a.txt")
    project.config(
        '[build.extensions.one]\nuse = "additional-files"\nfiles = ["a.txt"]\n'
        '[build.extensions.two]\nuse = "additional-files"\n'
        'options = { files = ["a.txt"], destination = "/srv/" }\n'
    )
    document = project.plan().document
    assert layer_of(document, "one")["files"] == ["/app/a.txt"]
    assert layer_of(document, "two")["files"] == ["/srv/a.txt"]


def test_a_switched_off_extension_does_nothing(project: Project) -> None:
    project.config("[build.extensions]\nffmpeg = false\n")
    assert project.outcome().contributions == ()


@pytest.mark.parametrize("name", ["emit-decorator-metadata", "esbuild-plugin"])
def test_what_belongs_to_node_runtimes_says_so_at_its_place(project: Project, name: str) -> None:
    project.config(f"\n[build.extensions.{name}]\nplugin = 'x'\n")
    problem = config_error(project)
    assert f"{name!r} belongs to Node runtimes" in problem.message
    assert (problem.file.rsplit("/", 1)[-1], problem.line) == ("trigger.config.toml", 3)


@pytest.mark.parametrize(
    ("table", "message", "line", "help_text"),
    [
        ("[build.extensions.apt-gte]", "no extension 'apt-gte'", 2, "did you mean 'apt-get'?"),
        ("[build.extensions.apt-get]\npackage = []", "no option 'package'", 3, "did you mean 'packages'?"),
        ("[build.extensions.apt-get]", "needs the option 'packages'", 2, None),
        ("[build.extensions.apt-get]\npackages = [\n'curl',\n'-y',\n]", "'-y' is no package", 5, None),
        ("[build.extensions.apt-get]\npackages = 'curl'", "valid list", 3, None),
        (
            "[build.extensions.additional-files]\nfiles = [{ sorce = 'x' }]",
            "'files.0.source': Field required",
            3,
            None,
        ),
        ("[build.extensions.x]\nuse = './ext.py:Nothing'", "has no attribute 'Nothing'", 3, None),
        ("[build.extensions.x]\nuse = './none.py:X'", "there is no file './none.py'", 3, None),
        ("[build.extensions.x]\nuse = '../ext.py:X'", "outside the project", 3, None),
        ("[build.extensions.x]\nuse = 'ext:NUMBER'", "has none of the hooks", 3, None),
        ("[build.extensions.x]\nuse = 'broken:X'", "ModuleNotFoundError", 3, None),
        (
            "[build.extensions.x]\nuse = 'ext:Picky'\noptions = { size = 3 }",
            "ValueError: too small (ext.py:8)",
            4,
            None,
        ),
        (
            "[build.extensions.x]\nuse = 'ext:Picky'\noptions = { sise = 3 }",
            "no option 'sise'",
            4,
            "did you mean 'size'?",
        ),
    ],
)
def test_mistakes_are_shown_at_their_place(
    project: Project, table: str, message: str, line: int, help_text: str | None
) -> None:
    project.write("broken.py", "import nothing_of_this_name\n")
    picky = "    def __init__(self, size):\n        raise ValueError('too small')\n"
    project.write("ext.py", f"NUMBER = 3\n\n\nclass Picky:\n    on_build_start = None\n\n{picky}")
    project.config(f"{table}\n")
    problem = config_error(project)
    assert message in problem.message
    assert problem.line == line
    assert help_text is None or problem.help == help_text


def test_all_mistakes_are_reported_at_once(project: Project) -> None:
    project.config("[build.extensions.apt-get]\n[build.extensions.prisma]\n")
    with pytest.raises(errors.ConfigError) as caught:
        project.outcome()
    assert len(caught.value.diagnostics) == 2


@pytest.mark.parametrize("hook", ["externals_for_target", "on_build_start", "on_build_complete"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_hook_that_raises_fails_the_build_and_names_the_line(
    project: Project, hook: str, kind: str
) -> None:
    project.write(
        "ext.py", f"class X:\n    {kind} {hook}(self, *arguments):\n        raise RuntimeError('no luck')\n"
    )
    project.config('[build.extensions.mine]\nuse = "./ext.py:X"\n')
    with pytest.raises(errors.ExtensionError) as caught:
        project.outcome()
    first, second = str(caught.value).split("\n")
    assert first == f"extension 'mine': {hook} failed: RuntimeError: no luck (ext.py:3)"
    assert re.fullmatch(
        r"it is asked for by \[build\.extensions\.mine\] at \S*trigger\.config\.toml:2", second
    )


def test_an_exit_in_a_hook_is_a_failure_like_any_other(project: Project) -> None:
    project.extension("raise SystemExit(0)")
    with pytest.raises(errors.ExtensionError, match=r"SystemExit: 0 \(ext\.py:6\)"):
        project.outcome()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('BuildLayer(id="x", commands=[" "])', "commands.0: a command must not be empty"),
        ('{"id": "x", "comands": []}', "comands: Unexpected keyword argument"),
        ('{"id": "../x"}', "id: '../x' can only hold"),
        ('{"id": "x", "image": {"pkgs": ["curl; rm"]}}', "image.pkgs.0: 'curl; rm' is no package"),
        ('{"id": "x", "deploy": {"env": {"A B": ""}}}', "'A B' is no name of an environment variable"),
        ("3", "a layer is a BuildLayer or a mapping, not int"),
    ],
)
def test_a_wrong_layer_is_refused_at_the_line_that_adds_it(
    project: Project, layer: str, message: str
) -> None:
    project.extension(f"context.add_layer({layer})")
    with pytest.raises(errors.ExtensionError) as caught:
        project.outcome()
    assert message in str(caught.value)
    assert "(ext.py:6)" in str(caught.value)


def test_values_of_variables_are_never_said(project: Project) -> None:
    project.extension(
        'context.add_layer({"id": "x", "deploy": {"env": {"API_KEY": b"hunter2-bytes"}}, "bad": 1})'
    )
    with pytest.raises(errors.ExtensionError) as caught:
        project.outcome()
    assert "hunter2" not in str(caught.value)
    project.extension(
        'context.logger.info("key", context.env["API_KEY"])', 'raise ValueError(context.env["API_KEY"])'
    )
    with pytest.raises(errors.ExtensionError) as caught:
        project.outcome(env={"API_KEY": "hunter2-text"})
    assert "ValueError: ***" in str(caught.value)
    assert ("info", "mine", "key ***") in project.log


def test_a_secret_in_a_command_is_refused(project: Project) -> None:
    project.extension(
        'context.add_layer({"id": "s", "deploy": {"secret_env": {"API": "hunter2-text"}}})',
        'context.add_layer({"id": "x", "commands": ["login hunter2-text"]})',
    )
    with pytest.raises(errors.BuildError, match="the value of API would become part of the image"):
        project.plan()


def test_two_layers_of_one_id_are_an_error_that_names_both(project: Project) -> None:
    project.write("lib/ext.py", OBJECT)
    project.config("".join(f'[build.extensions.{name}]\nuse = "lib.ext:Hooks"\n' for name in ("one", "two")))
    with pytest.raises(errors.BuildError, match="'early': one of extension 'one' and one of extension 'two'"):
        project.plan()


@pytest.mark.parametrize("layer_id", ["base", "dependencies", "runtime", "source"])
def test_ids_of_our_own_layers_are_refused(project: Project, layer_id: str) -> None:
    project.extension(f'context.add_layer({{"id": "{layer_id}", "commands": ["true"]}})')
    with pytest.raises(errors.BuildError, match="is one of our own"):
        project.plan()


def test_packages_of_all_extensions_become_one_sorted_layer(project: Project) -> None:
    project.extension('context.add_layer({"id": "x", "image": {"pkgs": ["zip", "curl=7.88.1-10+deb12u14"]}})')
    config = (project.root / "trigger.config.toml").read_text()
    project.write(
        "trigger.config.toml", config + '[build.extensions.apt-get]\npackages = ["zip", "curl", "git"]\n'
    )
    layer = project.layer("apt-get")
    assert layer["packages"] == ["curl=7.88.1-10+deb12u14", "git", "zip"]
    assert layer["extension"] == "mine, apt-get"


def test_two_versions_of_one_package_are_an_error(project: Project) -> None:
    tables = [f'[build.extensions.{n}]\nuse = "apt-get"\npackages = ["curl={n}"]\n' for n in ("1", "2")]
    project.config("".join(tables))
    with pytest.raises(
        errors.BuildError, match="'curl' is wanted as 1 by extension '1' and as 2 by extension '2'"
    ):
        project.plan()


def test_a_bundler_plugin_is_a_warning_in_python_projects(project: Project) -> None:
    project.extension("context.register_plugin(object())")
    assert any("no bundler" in warning for warning in project.outcome().warnings)


def test_resolve_path_finds_modules(project: Project) -> None:
    project.extension(
        'context.logger.info(context.resolve_path("trigger.hello"), context.resolve_path("no.such"))'
    )
    project.outcome()
    assert ("info", "mine", f"{project.root}/trigger/hello.py None") in project.log


def test_a_spinner_says_how_it_ended(project: Project) -> None:
    project.extension('with context.logger.spinner("Fetching") as step:', '    step.message("half")')
    project.outcome()
    assert [text for level, _, text in project.log if level == "info"] == ["Fetching", "half", "half: done"]


async def test_hooks_run_beside_a_running_loop_in_a_thread(project: Project) -> None:
    project.write("a.txt", "a")
    project.config('[build.extensions.additional-files]\nfiles = ["a.txt"]\n')
    outcome = await asyncio.to_thread(project.outcome, "dev")
    assert [entry.destination for entry in outcome.files] == ["/app/a.txt"]
    assert outcome.watch == (project.root / "a.txt",)


# -- sync-env-vars ------------------------------------------------------------------------------------


def sync(project: Project, body: str, options: str = "") -> None:
    project.write("envs.py", f"async def sync(ctx):\n    {body}\n\n\ndef plain(ctx):\n    {body}\n")
    project.config(f'[build.extensions.sync-env-vars]\ncallback = "envs:sync"\n{options}\n')


@pytest.mark.parametrize(
    "body",
    [
        'return {"URL": ctx.environment, "REF": ctx.project_ref}',
        'return [{"name": "URL", "value": "prod"}, {"name": "REF", "value": "demo"}]',
    ],
)
@pytest.mark.parametrize("function", ["sync", "plain"])
def test_the_callback_is_asked_for_variables(project: Project, body: str, function: str) -> None:
    sync(project, body)
    project.config(f'[build.extensions.sync-env-vars]\ncallback = "./envs.py:{function}"\n')
    outcome = project.outcome()
    assert outcome.variables({}) == {"URL": "prod", "REF": "demo"}
    assert project.plan().document["env"] == [
        {"name": "REF", "change": "unknown", "secret": False},
        {"name": "URL", "change": "unknown", "secret": False},
    ]


def test_a_secret_variable_is_marked_and_its_value_is_nowhere(project: Project) -> None:
    sync(project, 'return [{"name": "TOKEN", "value": "hunter2-text", "is_secret": True}]')
    made = project.plan()
    assert made.document["env"] == [{"name": "TOKEN", "change": "unknown", "secret": True}]
    written = [path for path in made.build_dir.rglob("*") if path.is_file() and path.name != "envs.py"]
    assert not any(b"hunter2" in path.read_bytes() for path in written)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('raise LookupError("vault is closed")', "LookupError: vault is closed (envs.py:2)"),
        ("return 3", "must give a mapping or a list"),
        ('return [{"name": "A"}]', "item 0 needs the keys 'name' and 'value'"),
        ('return {"A": 3}', "the value of A must be text, not int"),
        ('return {"A B": "x"}', "'A B' is no name"),
    ],
)
def test_a_callback_that_fails_fails_the_dry_run(project: Project, body: str, message: str) -> None:
    sync(project, body)
    with pytest.raises(errors.ExtensionError) as caught:
        project.plan()
    assert message in str(caught.value)


def test_variables_of_the_machine_and_of_the_platform_are_left_out(project: Project) -> None:
    sync(project, 'return {"PATH": "/bin", "TRIGGER_SECRET_KEY": "x", "EMPTY": "", "KEPT": "1"}')
    outcome = project.outcome()
    assert [each.name for each in outcome.env] == ["KEPT"]
    assert len(outcome.warnings) == 3


def test_in_dev_the_local_environment_goes_before_synced_variables(project: Project) -> None:
    sync(project, 'return {"URL": "synced"}')
    assert project.outcome("deploy").variables({"URL": "local"}) == {"URL": "synced"}
    assert project.outcome("dev").variables({"URL": "local"}) == {}


def test_variables_of_the_config_are_part_of_the_plan(project: Project) -> None:
    project.config('[deploy.env]\nFEATURE = "on"\n')
    assert project.plan().document["env"] == [{"name": "FEATURE", "change": "unknown", "secret": False}]
