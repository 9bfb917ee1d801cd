-- Each query stands under its name; sqlite.py runs them by name and holds no SQL of its own.

-- name: insert_run
INSERT INTO runs VALUES (
  NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)

-- name: update_run
UPDATE runs SET
  status = ?, queue = ?, updated_at = ?, rev = ?, ready = ?, due_at = ?, score = ?, token = ?, attempt = ?,
  worker = ?, version = ?, resuming = ?, cancel_requested = ?, has_ops = ?, usage_ms = ?, queued_at = ?,
  started_at = ?, attempt_started_at = ?, finished_at = ?, delayed_until = ?, expires_at = ?, expired_at = ?,
  output = ?, output_type = ?, error = ?, metadata = ?, tags = ?, machine = ?, peak_memory = ?,
  usage_before = ?, cost = ?, base_cost = ?
WHERE seq = ?

-- name: update_input
-- What is given to a run and changes only while it is delayed.
UPDATE runs SET payload = ?, payload_type = ?, max_attempts = ?, max_duration_ms = ? WHERE seq = ?

-- name: get_runs
SELECT * FROM runs WHERE id IN (SELECT value FROM json_each(?))

-- name: get_run
SELECT * FROM runs WHERE id = ?

-- name: ready_heads
-- The first claimable run of each task in each lane whose queue is not paused, found by skipping along the index.
WITH RECURSIVE heads(queue, ck, task, score, seq) AS (
  SELECT * FROM (SELECT queue, concurrency_key, task, score, seq FROM runs INDEXED BY runs_ready
                 WHERE ready = 1 ORDER BY queue, concurrency_key, task, score, seq LIMIT 1)
  UNION ALL
  SELECT r.queue, r.concurrency_key, r.task, r.score, r.seq FROM heads, runs r
  WHERE r.rowid = coalesce(
    (SELECT n.rowid FROM runs n INDEXED BY runs_ready
     WHERE n.ready = 1 AND n.queue = heads.queue AND n.concurrency_key = heads.ck AND n.task > heads.task
     ORDER BY n.task, n.score, n.seq LIMIT 1),
    (SELECT n.rowid FROM runs n INDEXED BY runs_ready
     WHERE n.ready = 1 AND n.queue = heads.queue AND n.concurrency_key > heads.ck
     ORDER BY n.concurrency_key, n.task, n.score, n.seq LIMIT 1),
    (SELECT n.rowid FROM runs n INDEXED BY runs_ready
     WHERE n.ready = 1 AND n.queue > heads.queue
     ORDER BY n.queue, n.concurrency_key, n.task, n.score, n.seq LIMIT 1))
)
SELECT heads.*, coalesce(l.turn, 0), coalesce(q.override_limit, q.concurrency_limit)
FROM heads
LEFT JOIN queues q ON q.name = heads.queue
LEFT JOIN lanes l ON l.queue = heads.queue AND l.concurrency_key = heads.ck
WHERE q.paused_at IS NULL

-- name: count_executing
SELECT queue, concurrency_key, count(*) FROM runs INDEXED BY runs_executing
WHERE status = 'EXECUTING' GROUP BY queue, concurrency_key

-- name: ready_of_part
SELECT * FROM runs INDEXED BY runs_ready
WHERE ready = 1 AND queue = ? AND concurrency_key = ? AND task = ? AND (score, seq) > (?, ?)
ORDER BY score, seq LIMIT ?

-- name: serve
INSERT INTO lanes VALUES (?, ?, (SELECT coalesce(max(turn), 0) + 1 FROM lanes), ?)
ON CONFLICT (queue, concurrency_key) DO UPDATE SET turn = excluded.turn, served_at = excluded.served_at

-- name: due_runs
SELECT * FROM runs WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at, seq LIMIT ?

-- name: executing_runs
SELECT * FROM runs WHERE status = 'EXECUTING' AND (?1 IS NULL OR worker = ?1) LIMIT ?2

-- name: children
SELECT * FROM runs WHERE parent_id = ? ORDER BY seq LIMIT ?

-- name: uncancelled_children
SELECT * FROM runs WHERE parent_id = ? AND cancel_requested = 0 AND status NOT IN (SELECT value FROM json_each(?))
ORDER BY seq LIMIT ?

-- name: run_filter
(:status IS NULL OR status IN (SELECT value FROM json_each(:status)))
  AND (:task IS NULL OR task IN (SELECT value FROM json_each(:task)))
  AND (:version IS NULL OR version IN (SELECT value FROM json_each(:version)))
  AND (:queue IS NULL OR queue IN (SELECT value FROM json_each(:queue)))
  AND (:machine IS NULL OR machine IN (SELECT value FROM json_each(:machine)))
  AND (:tag IS NULL OR EXISTS (
    SELECT 1 FROM json_each(runs.tags) t WHERE t.value IN (SELECT value FROM json_each(:tag))))
  AND (:batch IS NULL OR batch_id = :batch)
  AND (:schedule IS NULL OR schedule_id = :schedule)
  AND (:is_test IS NULL OR is_test = :is_test)
  AND (:created_from IS NULL OR created_at >= :created_from)
  AND (:created_to IS NULL OR created_at <= :created_to)

-- name: list_runs_newest
SELECT * FROM runs WHERE (:after IS NULL OR seq < :after) AND {run_filter} ORDER BY seq DESC LIMIT :size

-- name: list_runs_before
SELECT * FROM runs WHERE seq > :before AND {run_filter} ORDER BY seq LIMIT :size

-- name: get_ops
SELECT * FROM ops WHERE run_id = ? AND attempt = ? ORDER BY n

-- name: get_op
SELECT * FROM ops WHERE run_id = ? AND attempt = ? AND op = ?

-- name: fresh_ops
SELECT * FROM ops INDEXED BY ops_fresh WHERE run_id = ? AND attempt = ? AND fresh = 1 ORDER BY done_at, n

-- name: forget_fresh_ops
UPDATE ops INDEXED BY ops_fresh SET fresh = 0 WHERE run_id = ? AND attempt = ? AND fresh = 1

-- name: insert_op
INSERT INTO ops VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: complete_op
UPDATE ops SET done = 1, fresh = 1, result = ?, due_at = NULL, done_at = ?
WHERE run_id = ? AND attempt = ? AND op = ?

-- name: pending_ops
SELECT * FROM ops WHERE done = 0 AND ref IS NOT NULL AND ref IN (SELECT value FROM json_each(?))

-- name: any_pending_ops
SELECT 1 FROM ops WHERE done = 0 AND ref IS NOT NULL LIMIT 1

-- name: due_ops
SELECT * FROM ops WHERE done = 0 AND due_at IS NOT NULL AND due_at <= ?
ORDER BY due_at, run_id, attempt, op LIMIT ?

-- name: delete_ops
DELETE FROM ops WHERE run_id IN (SELECT value FROM json_each(?))

-- name: insert_batch
INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: get_batches
SELECT * FROM batches WHERE id IN (SELECT value FROM json_each(?))

-- name: batch_by_key
SELECT * FROM batches WHERE idempotency_key = ? AND idempotency_expires_at > ? AND status != 'ABORTED'
ORDER BY created_at DESC LIMIT 1

-- name: update_batch
UPDATE batches SET updated_at = ?, sealed = ?, accepted = ?, remaining = ?, status = ?, completed_at = ?
WHERE id = ?

-- name: insert_batch_item
INSERT INTO batch_items VALUES (?, ?, ?)

-- name: insert_batch_error
INSERT INTO batch_errors VALUES (?, ?, ?, ?)

-- name: batch_items
SELECT item, run_id FROM batch_items WHERE batch_id = ? ORDER BY item

-- name: batch_errors
SELECT item, task, error FROM batch_errors WHERE batch_id = ? ORDER BY item

-- name: watch_for_batch
INSERT INTO batch_watchers VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1

-- name: batch_watchers
SELECT batch_id, n FROM batch_watchers WHERE run_id IN (SELECT value FROM json_each(?))

-- name: delete_watchers
DELETE FROM batch_watchers WHERE run_id IN (SELECT value FROM json_each(?))

-- name: stale_batches
SELECT * FROM batches WHERE sealed = 0 AND status = 'PENDING' AND created_at < ? LIMIT 100

-- name: get_key
SELECT * FROM idempotency_keys WHERE task = ? AND key = ?

-- name: put_key
INSERT INTO idempotency_keys VALUES (?, ?, ?, ?)
ON CONFLICT (task, key) DO UPDATE SET run_id = excluded.run_id, expires_at = excluded.expires_at

-- name: put_queue
INSERT INTO queues (name, concurrency_limit, updated_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET concurrency_limit = excluded.concurrency_limit, updated_at = excluded.updated_at
WHERE concurrency_limit IS NOT excluded.concurrency_limit

-- name: add_queue
INSERT INTO queues (name, updated_at) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: get_queue
SELECT * FROM queues WHERE name = ?

-- name: update_queue
UPDATE queues SET concurrency_limit = ?, updated_at = ?, override_limit = ?, overridden_at = ?, paused_at = ?
WHERE name = ?

-- name: queue_names
SELECT name FROM queues ORDER BY name

-- name: queue_loads
SELECT value, (SELECT count(*) FROM runs INDEXED BY runs_executing WHERE status = 'EXECUTING' AND queue = value),
  (SELECT count(*) FROM runs INDEXED BY runs_ready WHERE ready = 1 AND queue = value)
FROM json_each(?)

-- name: total_load
SELECT (SELECT count(*) FROM runs INDEXED BY runs_executing WHERE status = 'EXECUTING'),
  (SELECT count(*) FROM runs INDEXED BY runs_ready WHERE ready = 1)

-- name: leave_worker
UPDATE runs INDEXED BY runs_parked SET worker = NULL
WHERE worker IS NOT NULL AND status != 'EXECUTING' AND (?1 IS NULL OR worker = ?1)

-- name: put_worker
INSERT INTO workers VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until

-- name: delete_worker
DELETE FROM workers WHERE id = ?

-- name: expired_workers
SELECT id FROM workers WHERE lease_until < ?

-- name: count_up
INSERT INTO meta VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value

-- name: insert_token
INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: get_token
SELECT * FROM tokens WHERE id = ?

-- name: token_by_key
SELECT * FROM tokens WHERE idempotency_key = ? AND (idempotency_expires_at IS NULL OR idempotency_expires_at > ?)
ORDER BY created_at DESC, id DESC LIMIT 1

-- name: update_token
UPDATE tokens SET status = ?, completed_at = ?, output = ?, output_type = ?, output_is_error = ? WHERE id = ?

-- name: due_tokens
SELECT * FROM tokens WHERE status = 'WAITING' AND timeout_at IS NOT NULL AND timeout_at <= ?
ORDER BY timeout_at, id LIMIT ?

-- name: token_filter
(:status IS NULL OR status IN (SELECT value FROM json_each(:status)))
  AND (:key IS NULL OR idempotency_key = :key)
  AND (:tag IS NULL OR EXISTS (
    SELECT 1 FROM json_each(tokens.tags) t WHERE t.value IN (SELECT value FROM json_each(:tag))))
  AND (:created_from IS NULL OR created_at >= :created_from)
  AND (:created_to IS NULL OR created_at <= :created_to)

-- name: list_tokens_newest
SELECT * FROM tokens WHERE (:after IS NULL OR id < :after) AND {token_filter} ORDER BY id DESC LIMIT :size

-- name: list_tokens_before
SELECT * FROM tokens WHERE id > :before AND {token_filter} ORDER BY id LIMIT :size

-- name: schedules
SELECT * FROM schedules WHERE (?1 IS NULL OR type = ?1) ORDER BY task, id

-- name: get_schedule
SELECT * FROM schedules WHERE id = ?

-- name: schedule_by_key
SELECT * FROM schedules WHERE deduplication_key = ?

-- name: list_schedules
SELECT * FROM schedules ORDER BY task, id LIMIT ? OFFSET ?

-- name: count_schedules
SELECT count(*) FROM schedules

-- name: put_schedule
INSERT INTO schedules VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET task = excluded.task, cron = excluded.cron, timezone = excluded.timezone,
  type = excluded.type, active = excluded.active, next_at = excluded.next_at, last_at = excluded.last_at,
  deduplication_key = excluded.deduplication_key, external_id = excluded.external_id

-- name: delete_schedule
DELETE FROM schedules WHERE id = ?

-- name: due_schedules
SELECT * FROM schedules WHERE active = 1 AND next_at IS NOT NULL AND next_at <= ?
  AND task IN (SELECT value FROM json_each(?)) ORDER BY next_at, id LIMIT ?

-- name: variables
SELECT * FROM variables ORDER BY name

-- name: put_variable
INSERT INTO variables VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE
SET value = excluded.value, is_secret = excluded.is_secret, updated_at = excluded.updated_at

-- name: delete_variable
DELETE FROM variables WHERE name = ?

-- name: append_log
INSERT INTO logs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: read_logs
SELECT * FROM logs WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: put_span
-- A span is told when it begins and when it ends; what a replay begins again began when it first did.
INSERT INTO spans (run_id, id, attempt, parent_id, name, kind, started_ns, ended_ns, error, attributes, events)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, id) DO UPDATE SET
  name = excluded.name, started_ns = min(spans.started_ns, excluded.started_ns), ended_ns = excluded.ended_ns,
  error = excluded.error, attributes = excluded.attributes, events = excluded.events
WHERE excluded.ended_ns IS NOT NULL OR spans.ended_ns IS NULL

-- name: read_spans
SELECT run_id, id, attempt, parent_id, name, kind, started_ns, ended_ns, error, attributes, events
FROM spans WHERE run_id IN (SELECT value FROM json_each(?)) ORDER BY started_ns, seq LIMIT ?

-- name: open_spans
SELECT id, started_ns FROM spans WHERE run_id = ? AND attempt = ? AND ended_ns IS NULL

-- name: next_due
SELECT min(due) FROM (
  SELECT min(due_at) AS due FROM runs WHERE due_at IS NOT NULL
  UNION ALL SELECT min(due_at) FROM ops WHERE done = 0 AND due_at IS NOT NULL
  UNION ALL SELECT min(timeout_at) FROM tokens WHERE status = 'WAITING' AND timeout_at IS NOT NULL
  UNION ALL SELECT min(next_at) FROM schedules WHERE active = 1 AND next_at IS NOT NULL
    AND task IN (SELECT value FROM json_each(?1))
)
