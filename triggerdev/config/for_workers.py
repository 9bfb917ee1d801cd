"""From the config to what worker processes must know: plain data, so that they need no config package."""

from triggerdev._prices import price_table
from triggerdev.config.loader import LoadedConfig
from triggerdev.config.model import Plugin, RetryDefaults, Telemetry, Usage
from triggerdev.protocol import PluginSettings, PriceTable, RetryInfo, TelemetrySettings, WorkerSettings


def worker_settings(loaded: LoadedConfig) -> WorkerSettings:
    """Translate the parts of a config that decide which tasks there are and how they run."""
    config = loaded.config
    retry = config.retries.default
    return {
        "root": str(loaded.root),
        "dirs": list(config.dirs),
        "ignore": list(config.ignore),
        "hooks": config.hooks.by_name(),
        "init": config.init,
        "retry": _retry(retry) if retry else None,
        "default_machine": config.default_machine,
        "max_duration": config.max_duration,
        "ttl_ms": round(config.ttl * 1000) if config.ttl else None,
        "log_level": config.log_level,
        "console_logging": not config.disable_console_interceptor,
        "prices": prices(config.usage),
        "telemetry": _telemetry(config.telemetry),
    }


def prices(usage: Usage) -> PriceTable:
    """Translate what runs cost."""
    own = {str(name): price for name, price in usage.cents_per_second.items()}
    per_second = price_table(usage.cents_per_vcpu_second, usage.cents_per_gb_second, own)
    return {"per_run": usage.cents_per_run, "per_second": per_second}


def _telemetry(config: Telemetry) -> TelemetrySettings:
    otlp = config.otlp
    return {
        "instrumentations": [_plugin(each) for each in config.instrumentations],
        "exporters": [_plugin(each) for each in config.exporters],
        "log_exporters": [_plugin(each) for each in config.log_exporters],
        "resource": dict(config.resource),
        "otlp": {"endpoint": otlp.endpoint, "headers": dict(otlp.headers)} if otlp.endpoint else None,
    }


def _plugin(plugin: Plugin) -> PluginSettings:
    return {"use": plugin.use, "options": dict(plugin.options)}


def _retry(policy: RetryDefaults) -> RetryInfo:
    return {
        "max_attempts": policy.max_attempts,
        "factor": policy.factor,
        "min_timeout_in_ms": policy.min_timeout_in_ms,
        "max_timeout_in_ms": policy.max_timeout_in_ms,
        "randomize": policy.randomize,
    }
