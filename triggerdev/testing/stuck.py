"""Why a run of a test does not end."""

from triggerdev import protocol
from triggerdev.engine.model import Run
from triggerdev.engine.store.memory import MemoryStore
from triggerdev.engine.store.protocol import OpRow

_WORDS = {
    protocol.WAIT: "a time",
    protocol.WAIT_TOKEN: "token {target!r}: complete it with `complete_token({target!r}, ...)`",
    protocol.TRIGGER_AND_WAIT: "a run of {target!r}",
    protocol.BATCH_TRIGGER_AND_WAIT: "a batch of {target}",
}


def reason(store: MemoryStore, run: Run) -> str:
    """Say what a run waits for, and what its children do."""
    with store.read() as tx:
        pending = [op for op in tx.get_ops(run.id, run.attempt) if not op.done]
        children = [child for child in tx.children(run.id, 10) if not child.status.is_final]
    text = f"Run {run.id} of {run.task!r} is {run.status.public_name}, and no time brings it further."
    if pending:
        text += f" It waits for {', '.join(map(_described, pending))}."
    for child in children:
        text += f"\n  its child: {reason(store, child)}"
    if not pending and not children:
        text += f" Its queue {run.queue!r} may have no free slot."
    return text


def _described(op: OpRow) -> str:
    return _WORDS.get(op.kind, op.kind).format(target=op.target)
