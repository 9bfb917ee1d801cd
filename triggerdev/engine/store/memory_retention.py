"""What retention asks of the store in memory, a part of `MemoryTx`."""

from collections.abc import Sequence

from triggerdev import _json
from triggerdev.engine.store.memory_tables import Tables, Unit
from triggerdev.engine.store.protocol import Kind
from triggerdev.engine.store.sqlite_retention import named_in
from triggerdev.protocol import STORED

_NO_END = 2**53  # of a token's name


class MemoryRetention:
    _unit: Unit

    def try_lock(self, name: str) -> bool:
        return True

    def finished(self, kind: Kind, before: int, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        ends = _ends(self._unit.tables, kind).items()
        found = sorted((at, name) for name, at in ends if at is not None and at < before)
        return [each for each in found if each > after][:limit]

    def needed(self, kind: Kind, ids: Sequence[str], now: int) -> set[str]:
        is_needed = {"runs": _is_run_needed, "batches": _is_batch_needed, "tokens": _is_token_needed}[kind]
        return {each for each in ids if is_needed(self._unit.tables, each, now)}

    def delete(self, kind: Kind, ids: Sequence[str]) -> None:
        table = self._unit.change(kind)
        own = {(table[each].task, table[each].idempotency_key) for each in ids} if kind == "runs" else set()
        for each in ids:
            del table[each]
        if kind == "runs":
            keys, ops = self._unit.change("keys"), self._unit.change("ops")
            for pair in [pair for pair, row in keys.items() if pair in own and row.run_id in ids]:
                del keys[pair]
            for op in [op for op in ops if op[0] in ids]:
                del ops[op]

    def delete_logs_of(self, run_ids: Sequence[str], limit: int) -> int:
        logs = self._unit.tables.logs
        found = sorted((entry.run, seq) for seq, entry in logs.items() if entry.run in run_ids)
        return self._delete_logs([seq for _, seq in found[:limit]])

    def delete_old_logs(self, before: int, limit: int) -> int:
        logs = self._unit.tables.logs
        return self._delete_logs([seq for seq in sorted(logs)[:limit] if logs[seq].at < before])

    def _delete_logs(self, seqs: Sequence[int]) -> int:
        table = self._unit.change("logs")
        for seq in seqs:
            del table[seq]
        return len(seqs)

    def delete_spans_of(self, run_ids: Sequence[str], limit: int) -> int:
        found = [key for key, span in self._unit.tables.spans.items() if span.run in run_ids]
        return self._delete_spans(found[:limit])

    def delete_old_spans(self, before: int, limit: int) -> int:
        spans = self._unit.tables.spans
        first = list(spans)[:limit]
        return self._delete_spans([key for key in first if spans[key].started_ns < before * 1_000_000])

    def _delete_spans(self, keys: Sequence[tuple[str, str]]) -> int:
        table = self._unit.change("spans")
        for key in keys:
            del table[key]
        return len(keys)

    def needed_bodies(self, keys: Sequence[str]) -> set[str]:
        """Choose among keys of stored bodies those that runs, tokens and operations name."""
        tables = self._unit.tables
        pairs = [
            *((run.payload_type, run.payload) for run in tables.runs.values()),
            *((run.output_type, run.output) for run in tables.runs.values()),
            *((token.output_type, token.output) for token in tables.tokens.values()),
        ]
        results = [_json.dumps(op.result) for op in tables.ops.values()]
        named = {text for kind, text in pairs if kind == STORED}
        named_in_results = named_in(keys, [text for text in results if f'"{STORED}"' in text])
        return {key for key in keys if key in named} | named_in_results

    def delete_expired_requests(self, now: int, limit: int) -> int:
        table = self._unit.change("keys")
        found = [row for (task, _), row in table.items() if not task and row.expires_at <= now]
        found.sort(key=lambda row: (row.expires_at, row.key))
        for row in found[:limit]:
            del table[row.task, row.key]
        return len(found[:limit])


def _ends(tables: Tables, kind: Kind) -> dict[str, int | None]:
    if kind == "runs":
        return {run.id: run.finished_at for run in tables.runs.values()}
    if kind == "batches":
        return {row.batch.id: row.batch.completed_at for row in tables.batches.values()}
    return {token.id: token.completed_at for token in tables.tokens.values()}


def _is_run_needed(tables: Tables, run_id: str, now: int) -> bool:
    run = tables.runs[run_id]
    parent = tables.runs.get(run.parent_id or "")
    key = tables.keys.get((run.task, run.idempotency_key or ""))
    batches = [row for row in tables.batches.values() if run_id in row.items.values()]
    return (
        any(child.parent_id == run_id for child in tables.runs.values())
        or (parent is not None and not parent.status.is_final)
        or (key is not None and key.run_id == run_id and key.expires_at > now)
        or any(row.batch.completed_at is None or (row.key_expires_at or 0) > now for row in batches)
    )


def _is_batch_needed(tables: Tables, batch_id: str, now: int) -> bool:
    row = tables.batches[batch_id]
    return (row.key_expires_at or 0) > now or any(run_id in tables.runs for run_id in row.items.values())


def _is_token_needed(tables: Tables, token_id: str, now: int) -> bool:
    end = tables.tokens[token_id].idempotency_expires_at
    made = [op.result for op in tables.ops.values() if op.kind == "create_token"]
    return (end is not None and now < end < _NO_END) or any(each.get("id") == token_id for each in made)
