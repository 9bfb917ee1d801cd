"""The model of `trigger.config.toml`: every key, its type, its default.

Durations are seconds here, whatever their spelling in the file was, and what may be written as one item is a
list. Unknown keys are errors and nothing is converted silently.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from triggerdev.config.fields import (
    Duration,
    Paths,
    PositiveDuration,
    Price,
    ProjectPath,
    Reference,
    References,
    Text,
    Url,
    VariableName,
    Word,
    check_reference,
)

Runtime = Literal[
    "python", "python-3.11", "python-3.12", "python-3.13", "python-3.14", "node", "node-22", "bun"
]
LogLevel = Literal["debug", "info", "warn", "error"]
Machine = Literal["micro", "small-1x", "small-2x", "medium-1x", "medium-2x", "large-1x", "large-2x"]
Platform = Literal["linux/amd64", "linux/arm64"]
ProjectRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
ExtensionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

DEFAULT_ENV_FILES = (".env", ".env.local")


class Table(BaseModel):
    """Base of every table: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
    )


class RetryDefaults(Table):
    """Retry options of tasks that name none."""

    max_attempts: int = Field(3, ge=1, le=1000)
    """Attempts in all, the first one included."""
    min_timeout_in_ms: int = Field(1000, ge=0)
    """Delay before the second attempt, in milliseconds."""
    max_timeout_in_ms: int = Field(60_000, ge=0)
    """Longest delay between attempts, in milliseconds."""
    factor: float = Field(2.0, ge=1, le=1000)
    """Each delay is this many times the one before."""
    randomize: bool = True
    """Spread the delays, so that runs that failed together do not retry together."""

    @model_validator(mode="after")
    def _delays_in_order(self) -> Self:
        if self.max_timeout_in_ms < self.min_timeout_in_ms:
            message = "`max_timeout_in_ms` is less than `min_timeout_in_ms` ({shortest})"
            at = ("max_timeout_in_ms", "min_timeout_in_ms")
            raise PydanticCustomError("order", message, {"shortest": self.min_timeout_in_ms, "at": at})
        return self


class Retries(Table):
    """Retries of all tasks."""

    enabled_in_dev: bool = True
    """False: a failed run of `trigger dev` is not tried again."""
    default: RetryDefaults | None = None
    """Used by tasks that have no retry options of their own."""


class KeepAlive(Table):
    """Whether worker processes serve more than one run."""

    enabled: bool = True
    """True: a process is used for further runs."""
    max_executions_per_process: int = Field(50, ge=1)
    """A process ends after this many runs."""
    dev_max_pool_size: int = Field(25, ge=1)
    """Idle processes that `trigger dev` keeps at most."""


class Hooks(Table):
    """Global lifecycle hooks: one reference or a list, called in order."""

    on_start: References = []
    """Called before a run's first attempt: (payload, ctx)."""
    on_start_attempt: References = []
    """Called before each attempt: (payload, ctx)."""
    on_success: References = []
    """Called after success: (payload, output, ctx)."""
    on_failure: References = []
    """Called after the last failed attempt: (payload, error, ctx)."""
    on_complete: References = []
    """Called after success or failure: (payload, result, ctx)."""
    on_wait: References = []
    """Called when a run begins to wait: (payload, wait, ctx)."""
    on_resume: References = []
    """Called when a waiting run goes on: (payload, wait, ctx)."""
    on_cancel: References = []
    """Called when a run is cancelled: (payload, ctx)."""
    catch_error: References = []
    """Called with each error; may change how it is retried: (payload, error, ctx)."""
    middleware: References = []
    """Wraps each attempt: (payload, ctx, next)."""

    def by_name(self) -> dict[str, list[str]]:
        """Return the references of each hook that has some, in the order of calling."""
        return {name: list(found) for name in type(self).model_fields if (found := getattr(self, name))}


def _use_alone(value: Any) -> Any:
    return {"use": value} if isinstance(value, str) else value


class Plugin(Table):
    """An object that is made from a reference and keyword arguments."""

    use: Reference
    """"package.module:name" or "./file.py:name"."""
    options: dict[str, Any] = {}
    """Keyword arguments."""


PluginItem = Annotated[Plugin, BeforeValidator(_use_alone)]


class Otlp(Table):
    """Where spans and log lines are sent, as OTLP over HTTP (package `triggerdev[otlp]`)."""

    endpoint: Url | None = None
    """Base URL of a collector: spans go to /v1/traces below it, lines to /v1/logs; without it, nowhere."""
    headers: dict[Text, Text] = {}
    """Sent with each request; secrets come in as "${NAME}"."""


class Telemetry(Table):
    """OpenTelemetry: what is instrumented and where it is sent."""

    otlp: Otlp = Otlp()
    """Where spans and log lines are sent."""
    instrumentations: list[PluginItem] = []
    """Instrumentors, started in each worker process."""
    exporters: list[PluginItem] = []
    """Span exporters."""
    log_exporters: list[PluginItem] = []
    """Log exporters."""
    resource: dict[str, str] = {}
    """Attributes of everything that is sent."""


class Usage(Table):
    """What runs cost, in cents. Nothing, unless prices are set."""

    cents_per_run: Price = 0
    """For each run that starts."""
    cents_per_vcpu_second: Price = 0
    """For the vCPUs of the machine, for each second of compute time; waits cost nothing."""
    cents_per_gb_second: Price = 0
    """For the memory of the machine, likewise."""
    cents_per_second: dict[Machine, Price] = {}
    """Prices of machine presets that are not the sum of the two above."""


class Extension(Table):
    """One build extension. Keys beside these are its options."""

    model_config = ConfigDict(extra="allow")

    use: Text | None = None
    """A built-in or installed name, or a reference; without it, the table's name."""
    enabled: bool = True
    """False: as if the table were not there."""
    options: dict[str, Any] = {}
    """Options under names exactly as written; needed for custom extensions only."""

    @model_validator(mode="after")
    def _references_are_well_formed(self) -> Self:
        for key, value in (("use", self.use), ("callback", self.arguments.get("callback"))):
            if isinstance(value, str) and (key == "callback" or ":" in value or "/" in value):
                _check_reference_at(key, value)
        twice = sorted(set(self.options) & set(self.model_extra or {}))
        if twice:
            message = "option `{name}` is given twice: in the table and in `options`"
            raise PydanticCustomError("twice", message, {"name": twice[0], "at": ("options", twice[0])})
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The extension's options: the table's further keys and what `options` holds."""
        return {**(self.model_extra or {}), **self.options}


def _check_reference_at(key: str, value: str) -> None:
    try:
        check_reference(value)
    except PydanticCustomError as error:
        raise PydanticCustomError("reference", "{text}", {"text": error.message(), "at": (key,)}) from None


def _on_or_off(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


ExtensionItem = Annotated[Extension, BeforeValidator(_on_or_off)]


class Jsx(Table):
    """How JSX is compiled (Node runtimes)."""

    factory: Text = "React.createElement"
    """Function for elements."""
    fragment: Text = "React.Fragment"
    """Component for fragments."""
    automatic: bool = True
    """True: the automatic runtime."""


class Build(Table):
    """What goes into the image."""

    base_image: Word | None = None
    """The image to build on; without it, the runtime's official slim image."""
    platforms: list[Platform] = Field(["linux/amd64"], min_length=1)
    """Platforms to build for."""
    dependencies: list[Text] = []
    """Python requirements, used when there is no uv.lock, pyproject.toml or requirements.txt."""
    external: list[Text] = []
    """Imports that the image provides and that are neither bundled nor looked for in the lock file."""
    auto_detect_external: bool = True
    """Warn of imports that nothing provides."""
    keep_names: bool = True
    """Keep names of functions when bundling (Node runtimes; Python always keeps them)."""
    minify: bool = False
    """Python: strip docstrings. Node: minify the bundle."""
    conditions: list[Text] = []
    """Further conditions of package exports (Node runtimes)."""
    jsx: Jsx = Jsx()
    """How JSX is compiled (Node runtimes)."""
    exclude: list[Text] = []
    """Globs of files that never enter the image, beside .gitignore, .dockerignore and the built-in list."""
    secrets: list[VariableName] = []
    """Variables that build steps may mount as secrets; they never become part of the image."""
    network: Literal["default", "host", "none"] = "default"
    """What build steps reach: the engine's default network, this machine's, or nothing."""
    hook_timeout: PositiveDuration = 600
    """A hook of an extension that takes longer fails the build."""
    extensions: dict[ExtensionName, ExtensionItem] = {}
    """Build extensions in the order in which their hooks run."""

    def enabled_extensions(self) -> dict[str, Extension]:
        """Return the extensions that are not switched off, by table name, in file order."""
        return {name: extension for name, extension in self.extensions.items() if extension.enabled}


class Dev(Table):
    """`trigger dev`."""

    env_file: Paths = list(DEFAULT_ENV_FILES)
    """Files with variables, later ones win; the real environment wins over all."""
    max_concurrent_runs: int | None = Field(None, ge=1)
    """Runs that execute at the same time; without it, as many as the machine allows."""
    evict_after: Duration = 60
    """A run that waits longer leaves its process and goes on from its record; 0: none does."""
    max_parked_processes: int = Field(50, ge=0)
    """Processes that plain functions keep while they wait; beyond it they leave theirs."""
    max_worker_memory_in_mb: int | None = Field(None, ge=1)
    """Beyond it, runs that wait leave their process; without it, half of the machine's memory."""
    watch: Paths = []
    """Further folders and files whose changes reload the tasks."""
    debounce: Duration = 0.05
    """Wait for this long after the last change before reloading."""


class Deploy(Table):
    """`trigger deploy`."""

    registry: Word | None = None
    """Registry and namespace that images are pushed to, such as "registry.example.com/acme"."""
    registry_ca_file: Text | None = None
    """Certificates that registries are trusted by, beside the system's; relative to this file."""
    registry_plain_http: bool | None = None
    """Speak to registries without TLS; without a value, only to those on this machine."""
    share_layers: bool = True
    """Leave what takes long to build in the registry with a push, and look for it there before building."""
    env: dict[VariableName, str] = {}
    """Plain variables of the deployed tasks; secrets do not belong here."""


class Queues(Table):
    """Queues and their limits."""

    concurrency_limit: int | None = Field(None, ge=1, le=1_000_000)
    """Runs that execute at the same time in all queues together, at all servers; without it, no limit."""


class Leases(Table):
    """How several servers on one database notice that one of them is gone."""

    length: PositiveDuration = 30
    """A server that was not heard of for this long loses its runs to the others."""
    heartbeat: PositiveDuration = 4
    """How often a server is heard of, and looks at the others; at most a third of the length."""

    @model_validator(mode="after")
    def _two_heartbeats_may_be_missed(self) -> Self:
        if round(self.heartbeat * 1000) * 3 > round(self.length * 1000):
            message = "`heartbeat` ({heartbeat} s) is more than a third of `length` ({length} s)"
            spans = {"heartbeat": f"{self.heartbeat:g}", "length": f"{self.length:g}"}
            raise PydanticCustomError("order", message, {**spans, "at": ("heartbeat", "length")})
        return self


class Retention(Table):
    """How long finished things are kept; without a value, forever."""

    runs: PositiveDuration | None = None
    """Finished runs with their payloads and outputs."""
    logs: PositiveDuration | None = None
    """Log lines and traces."""


KeepAliveItem = Annotated[KeepAlive, BeforeValidator(_on_or_off)]


class TriggerConfig(Table):
    """The configuration of a project."""

    project: ProjectRef
    """Reference of the project."""
    dirs: list[ProjectPath] = Field(["./trigger"], min_length=1)
    """Folders with tasks."""
    ignore: list[Text] = ["**/test_*.py", "**/*_test.py", "**/conftest.py"]
    """Globs of files in those folders that hold no tasks."""
    runtime: Runtime = "python"
    """What runs the tasks."""
    tsconfig: Text | None = None
    """Path of the tsconfig.json (Node runtimes); without it, the nearest one."""
    log_level: LogLevel = "info"
    """Lowest level that `logger` records."""
    max_duration: PositiveDuration | None = None
    """Longest duration of an attempt, unless a task has its own."""
    ttl: Duration | None = None
    """A run that has not started after this long expires, unless a task has its own; 0: never."""
    default_machine: Machine | None = None
    """Machine preset of tasks that name none."""
    enable_console_logging: bool = True
    """Print what tasks log to the terminal, too."""
    disable_console_interceptor: bool = False
    """True: what tasks print does not become part of their logs."""
    extra_ca_certs: Text | None = None
    """Path of a PEM file with further certificate authorities."""
    init: Reference | None = None
    """Called once in each worker process; what it returns is the `init` of tasks and hooks.

    One that takes payload or ctx is called before each attempt.
    """
    process_keep_alive: KeepAliveItem = KeepAlive()
    """Whether worker processes serve more than one run: true, false or a table."""
    retries: Retries = Retries()
    """Retries of all tasks."""
    hooks: Hooks = Hooks()
    """Global lifecycle hooks."""
    telemetry: Telemetry = Telemetry()
    """OpenTelemetry."""
    usage: Usage = Usage()
    """What runs cost."""
    build: Build = Build()
    """What goes into the image."""
    dev: Dev = Dev()
    """`trigger dev`."""
    deploy: Deploy = Deploy()
    """`trigger deploy`."""
    queues: Queues = Queues()
    """Queues and their limits."""
    leases: Leases = Leases()
    """How several servers on one database notice that one of them is gone."""
    retention: Retention = Retention()
    """How long finished things are kept."""


ALIASES: dict[str, str] = {"machine": "default_machine", "ignore_patterns": "ignore"}
"""Top-level keys with a second name."""

ELSEWHERE: dict[str, str] = {
    **{name: f"write it in the [hooks] table: `hooks.{name} = ...`" for name in Hooks.model_fields},
    "extensions": "write each one as a table: [build.extensions.<name>]",
    "external": "write it in the [build] table: `build.external = [...]`",
    "instrumentations": "write it in the [telemetry] table: `telemetry.instrumentations = [...]`",
    "exporters": "write it in the [telemetry] table: `telemetry.exporters = [...]`",
    "env_file": "write it in the [dev] table: `dev.env_file = [...]`",
    "registry": 'write it in the [deploy] table: `deploy.registry = "..."`',
    "additional_files": "write a table: [build.extensions.additional-files]",
    "additional_packages": "write a table: [build.extensions.additional-packages]",
    "resolve_env_vars": "write a table with a callback: [build.extensions.sync-env-vars]",
    "trigger_directories": 'write `dirs = ["./trigger"]`',
}
"""What to write in place of top-level keys that belong elsewhere, or that older releases had."""
