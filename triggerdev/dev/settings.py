"""What worker processes and the engine must know of a project in dev."""

from triggerdev import _prices
from triggerdev._prices import Prices
from triggerdev.config import LoadedConfig, for_workers
from triggerdev.config.for_workers import worker_settings
from triggerdev.engine.commands import requests
from triggerdev.engine.commands.retention import Retention
from triggerdev.engine.leases import Leases
from triggerdev.engine.model import Environment
from triggerdev.protocol import Manifest, RetryInfo, TaskInfo, WorkerSettings

_NO_RETRY: RetryInfo = {"max_attempts": 1}


def environment(loaded: LoadedConfig) -> Environment:
    """Describe the dev environment of a project."""
    ref = loaded.config.project
    return Environment(project_ref=ref, project_name=ref, project_id=ref)


def leases(loaded: LoadedConfig) -> Leases:
    """Tell how long this server's worker keeps its runs without being heard of."""
    written = loaded.config.leases
    return Leases(written.length, written.heartbeat)


def retention(loaded: LoadedConfig) -> Retention:
    """Tell how long things are kept; runs for an hour at least, since clients repeat requests that long."""
    keep = loaded.config.retention
    runs = None if keep.runs is None else max(requests.LIFETIME_MS, round(keep.runs * 1000))
    return Retention(runs, None if keep.logs is None else round(keep.logs * 1000))


def prices(loaded: LoadedConfig) -> Prices:
    """Tell what runs cost."""
    return _prices.read(for_workers.prices(loaded.config.usage))


def dev_settings(loaded: LoadedConfig, environment: Environment, url: str, key: str) -> WorkerSettings:
    """Add to a project's worker settings who and where the server is."""
    settings = worker_settings(loaded)
    settings["environment"] = {
        "id": environment.id,
        "slug": environment.slug,
        "type": environment.type,
    }
    settings["project"] = {
        "id": environment.project_id,
        "ref": environment.project_ref,
        "slug": environment.project_ref,
        "name": environment.project_name,
    }
    settings["organization"] = {
        "id": environment.organization_id,
        "slug": environment.organization_slug,
        "name": environment.organization_name,
    }
    settings["api_url"] = url
    settings["api_key"] = key
    return settings


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
