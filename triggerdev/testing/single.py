"""One task by itself: its children are recorded and answered, not executed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Unpack

from triggerdev.sdk.task import Task
from triggerdev.testing.project import task_id
from triggerdev.testing.reports import RunReport
from triggerdev.testing.virtual import EngineOptions, engine
from triggerdev.testing.worker import Answer

Children = Mapping[Any, Answer]  # keys are tasks or ids; a dict of both has no common type but Any


@dataclass(frozen=True)
class TaskReport(RunReport):
    """The end of a task that ran by itself: `children` are what it triggered, `logs` what it logged."""

    children: list[RunReport] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)

    def payloads(self, task: str | Task[Any]) -> list[Any]:
        """List the payloads with which a task was triggered, in order."""
        return [child.payload for child in self.children if child.task == task_id(task)]


async def run_task(
    task: Task[Any],
    payload: Any = None,
    *,
    children: Children | None = None,
    tokens: Mapping[str, Any] | None = None,
    **options: Unpack[EngineOptions],
) -> TaskReport:
    """Run one task to its end; waits and retries take no time, children are not executed.

    `children`: what they answer, by task or id: an output, an exception to fail with, or a function of the
    payload that gives or raises one. One that is only triggered, not waited for, needs no answer. `tokens`:
    what waitpoint tokens are completed with, by name. Raises RunStuckError.
    """
    answers = {task_id(child): answer for child, answer in (children or {}).items()}
    given: EngineOptions = {**options, "answers": answers}
    async with engine([task], **given) as made:
        for name, output in (tokens or {}).items():
            await made.complete_token(name, output)
        ended = await made.run(task, payload)
        values = {each.name: getattr(ended, each.name) for each in fields(ended)}
        triggered = [run for run in made.runs if run.parent_id == ended.id]
        return TaskReport(**values, children=triggered, logs=made.logs(ended))
