"""From the project's config to what worker processes and the engine must know."""

from triggerdev.config import LoadedConfig
from triggerdev.config.model import RetryDefaults
from triggerdev.engine.model import Environment
from triggerdev.protocol import Manifest, RetryInfo, TaskInfo, WorkerSettings

_NO_RETRY: RetryInfo = {"max_attempts": 1}


def environment(loaded: LoadedConfig) -> Environment:
    """Describe the dev environment of a project."""
    ref = loaded.config.project
    return Environment(project_ref=ref, project_name=ref, project_id=ref)


def worker_settings(loaded: LoadedConfig, environment: Environment, url: str, key: str) -> WorkerSettings:
    """Translate the config for worker processes."""
    config = loaded.config
    retry = config.retries.default
    return {
        "root": str(loaded.root),
        "dirs": list(config.dirs),
        "ignore": list(config.ignore),
        "hooks": config.hooks.by_name(),
        "init": config.init[0] if config.init else None,
        "retry": _retry(retry) if retry else None,
        "default_machine": config.default_machine,
        "max_duration": config.max_duration,
        "ttl_ms": round(config.ttl * 1000) if config.ttl else None,
        "log_level": config.log_level,
        "console_logging": not config.disable_console_interceptor,
        "environment": {"id": environment.id, "slug": environment.slug, "type": environment.type},
        "project": {
            "id": environment.project_id,
            "ref": environment.project_ref,
            "slug": environment.project_ref,
            "name": environment.project_name,
        },
        "organization": {
            "id": environment.organization_id,
            "slug": environment.organization_slug,
            "name": environment.organization_name,
        },
        "api_url": url,
        "api_key": key,
    }


def _retry(policy: RetryDefaults) -> RetryInfo:
    return {
        "max_attempts": policy.max_attempts,
        "factor": policy.factor,
        "min_timeout_in_ms": policy.min_timeout_in_ms,
        "max_timeout_in_ms": policy.max_timeout_in_ms,
        "randomize": policy.randomize,
    }


def for_dev(manifest: Manifest, loaded: LoadedConfig) -> Manifest:
    """Take retries away from a manifest when the config switches them off in dev."""
    if loaded.config.retries.enabled_in_dev:
        return manifest
    changed = manifest.copy()
    changed["tasks"] = [_without_retries(task) for task in manifest["tasks"]]
    return changed


def _without_retries(task: TaskInfo) -> TaskInfo:
    changed = task.copy()
    changed["retry"] = {**(task.get("retry") or {}), **_NO_RETRY}
    return changed
