"""Lines of runs as log records of OpenTelemetry, for the exporters that the configuration names."""

from collections.abc import Callable
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from triggerdev.protocol import LogLine
from triggerdev.sdk import attributes
from triggerdev.worker.executor.telemetry import Parts, made

_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "log": SeverityNumber.INFO,
    "warn": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}
_DELAY_MS = 1000


class Lines:
    """A provider of loggers with the configured exporters."""

    def __init__(self, provider: LoggerProvider) -> None:
        self._logger = provider.get_logger("triggerdev")

    @classmethod
    def start(cls, parts: Parts, resource: Resource, tell: Callable[[str], None]) -> "Lines | None":
        """Make the exporters; None if none of them can be made."""
        exporters = [found for part in parts.log_exporters if (found := made(part, tell)) is not None]
        if not exporters:
            return None
        provider = LoggerProvider(resource)
        for exporter in exporters:
            processor = BatchLogRecordProcessor(exporter, schedule_delay_millis=_DELAY_MS)
            provider.add_log_record_processor(processor)
        return cls(provider)

    def emit(self, line: LogLine, parent: Context) -> None:
        """Hand a line to the exporters, in the span that it belongs to."""
        given: dict[str, Any] = {"trigger.run.id": line["run"], "log.iostream": line["stream"]}
        given |= line.get("data") or {}
        level = line.get("level", "info")
        record = LogRecord(
            timestamp=line["at"] * 1_000_000,
            context=parent,
            severity_text=level.upper(),
            severity_number=_SEVERITIES.get(level, SeverityNumber.INFO),
            body=line["message"],
            attributes=attributes.lenient(given),
        )
        self._logger.emit(record)
