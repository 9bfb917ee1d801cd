"""What executes runs inside a worker process: user code, its hooks, its durable operations, its output."""

from triggerdev.worker.executor.async_executor import AsyncExecutor
from triggerdev.worker.executor.capture import install_capture
from triggerdev.worker.executor.failures import describe as describe_error
from triggerdev.worker.executor.manifest import describe_tasks
from triggerdev.worker.executor.project import BlockingChannel, Channel, Project
from triggerdev.worker.executor.sync_executor import SyncExecutor

__all__ = [
    "AsyncExecutor",
    "BlockingChannel",
    "Channel",
    "Project",
    "SyncExecutor",
    "describe_error",
    "describe_tasks",
    "install_capture",
]
