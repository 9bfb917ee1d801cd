"""From the config to what worker processes must know: plain data, so that they need no config package."""

from triggerdev.config.loader import LoadedConfig
from triggerdev.config.model import RetryDefaults
from triggerdev.protocol import RetryInfo, WorkerSettings


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
    }


def _retry(policy: RetryDefaults) -> RetryInfo:
    return {
        "max_attempts": policy.max_attempts,
        "factor": policy.factor,
        "min_timeout_in_ms": policy.min_timeout_in_ms,
        "max_timeout_in_ms": policy.max_timeout_in_ms,
        "randomize": policy.randomize,
    }
