"""What the processes of a worker must know of the configuration."""

from typing import Any, TypedDict

from triggerdev.protocol.manifest import RetryInfo


class PriceTable(TypedDict):
    """What runs cost, in cents: for each that starts, for a second of compute time by machine preset."""

    per_run: float
    per_second: dict[str, float]


class PluginSettings(TypedDict):
    """Something of the user's by reference, with keyword arguments."""

    use: str
    options: dict[str, Any]


class TelemetrySettings(TypedDict):
    """`[telemetry]`; `otlp`: `{"endpoint", "headers"}`."""

    instrumentations: list[PluginSettings]
    exporters: list[PluginSettings]
    log_exporters: list[PluginSettings]
    resource: dict[str, str]
    otlp: dict[str, Any] | None


class WorkerSettings(TypedDict, total=False):
    """What a version process must know of the config; plain data, so that it needs no config package."""

    root: str
    dirs: list[str]
    ignore: list[str]
    hooks: dict[str, list[str]]
    init: str | None
    retry: RetryInfo | None
    default_machine: str | None
    max_duration: float | None
    ttl_ms: int | None
    log_level: str
    console_logging: bool
    prices: PriceTable
    telemetry: TelemetrySettings
    environment: dict[str, Any]
    project: dict[str, Any]
    organization: dict[str, Any]
    api_url: str
    api_key: str
