-- Each query stands under its name; the PostgreSQL store runs them by name and holds no SQL of its own.
--
-- What a transaction reads to change it, it locks: the queries named *_locked. The lock of a run covers its
-- operations and the watchers of its end, that of a batch its items. Where any row will do (claims, what is due), rows
-- that another server has locked are skipped.

-- name: insert_run
INSERT INTO runs (
  id, task, status, queue, created_at, updated_at, rev, ready, due_at, score, token, attempt, worker, version,
  resuming, cancel_requested, has_ops, usage_ms, queued_at, started_at, attempt_started_at, finished_at,
  delayed_until, expires_at, expired_at, output, output_type, error, metadata, tags, machine, payload,
  payload_type, concurrency_key, priority, ttl_ms, max_attempts, max_duration_ms, parent_id, root_id, depth,
  trigger_function, batch_id, schedule_id, idempotency_key, idempotency_display, is_test, is_replay,
  idempotency_scope, peak_memory, traceparent, tracestate, usage_before, cost, base_cost
) VALUES (
  %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
  %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
  %s, %s, %s, %s, %s, %s, %s
)

-- name: update_run
UPDATE runs SET
  status = %s, queue = %s, updated_at = %s, rev = %s, ready = %s, due_at = %s, score = %s, token = %s, attempt = %s,
  worker = %s, version = %s, resuming = %s, cancel_requested = %s, has_ops = %s, usage_ms = %s, queued_at = %s,
  started_at = %s, attempt_started_at = %s, finished_at = %s, delayed_until = %s, expires_at = %s, expired_at = %s,
  output = %s, output_type = %s, error = %s, metadata = %s, tags = %s, machine = %s, peak_memory = %s,
  usage_before = %s, cost = %s, base_cost = %s
WHERE seq = %s

-- name: update_input
-- What is given to a run and changes only while it is delayed.
UPDATE runs SET payload = %s, payload_type = %s, max_attempts = %s, max_duration_ms = %s WHERE seq = %s

-- name: get_runs
SELECT * FROM runs WHERE id = ANY(%s::text[])

-- name: get_runs_locked
{get_runs} ORDER BY id FOR UPDATE

-- name: ready_heads
-- The first claimable run of each task in each lane whose queue is not paused, found by skipping along the index.
WITH RECURSIVE heads AS (
  (SELECT queue, concurrency_key, task, score, seq FROM runs
   WHERE ready ORDER BY queue, concurrency_key, task, score, seq LIMIT 1)
  UNION ALL
  SELECT n.* FROM heads h CROSS JOIN LATERAL (
    SELECT queue, concurrency_key, task, score, seq FROM runs
    WHERE ready AND (queue, concurrency_key, task) > (h.queue, h.concurrency_key, h.task)
    ORDER BY queue, concurrency_key, task, score, seq LIMIT 1) n
)
SELECT h.*, coalesce(l.turn, 0), coalesce(q.override_limit, q.concurrency_limit)
FROM heads h
LEFT JOIN queues q ON q.name = h.queue
LEFT JOIN lanes l ON l.queue = h.queue AND l.concurrency_key = h.concurrency_key
WHERE q.paused_at IS NULL

-- name: count_executing
SELECT queue, concurrency_key, count(*) FROM runs WHERE status = 'EXECUTING' GROUP BY queue, concurrency_key

-- name: count_executing_of
SELECT queue, concurrency_key, count(*) FROM runs WHERE status = 'EXECUTING' AND queue = ANY(%s::text[])
GROUP BY queue, concurrency_key

-- name: try_locks
-- Not waiting, so that servers that claim from several limited queues cannot wait for each other in a circle.
SELECT name FROM unnest(%s::text[], %s::text[]) AS wanted (name, label)
WHERE pg_try_advisory_xact_lock(hashtextextended(label, 0))

-- name: ready_of_parts
-- `n` says for which of the wants a run is.
SELECT w.n - 1, r.*
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::integer[])
  WITH ORDINALITY AS w (queue, key, task, score, seq, most, n)
CROSS JOIN LATERAL (
  SELECT * FROM runs
  WHERE ready AND queue = w.queue AND concurrency_key = w.key AND task = w.task AND (score, seq) > (w.score, w.seq)
  ORDER BY queue, concurrency_key, task, score, seq LIMIT w.most FOR UPDATE SKIP LOCKED) r
ORDER BY w.n, r.score, r.seq

-- name: serve
-- A lane that another server gives a turn at this moment is left to that one; nobody waits.
WITH turn AS (SELECT nextval('turns') AS base),
served AS (
  SELECT s.queue, s.key, turn.base + s.n AS turn FROM turn,
    unnest(%s::text[], %s::text[]) WITH ORDINALITY AS s (queue, key, n)
),
free AS (
  SELECT l.queue, l.concurrency_key, s.turn
  FROM lanes l JOIN served s ON s.queue = l.queue AND s.key = l.concurrency_key FOR UPDATE OF l SKIP LOCKED
),
changed AS (
  UPDATE lanes l SET turn = free.turn, served_at = %s FROM free
  WHERE l.queue = free.queue AND l.concurrency_key = free.concurrency_key
)
INSERT INTO lanes SELECT queue, key, turn, %s FROM served
WHERE NOT EXISTS (SELECT 1 FROM lanes l WHERE l.queue = served.queue AND l.concurrency_key = served.key)
ORDER BY queue, key
ON CONFLICT DO NOTHING

-- name: due_runs
SELECT * FROM runs WHERE due_at <= %s ORDER BY due_at, seq LIMIT %s FOR UPDATE SKIP LOCKED

-- name: executing_runs
SELECT * FROM runs WHERE status = 'EXECUTING' AND (%s::text IS NULL OR worker = %s) ORDER BY id LIMIT %s FOR UPDATE

-- name: children
SELECT * FROM runs WHERE parent_id = %s ORDER BY seq LIMIT %s

-- name: uncancelled_children
SELECT * FROM runs WHERE parent_id = %s AND NOT cancel_requested AND status <> ALL(%s::text[])
ORDER BY seq LIMIT %s FOR UPDATE

-- name: run_filter
(%(status)s::text[] IS NULL OR status = ANY(%(status)s::text[]))
  AND (%(task)s::text[] IS NULL OR task = ANY(%(task)s::text[]))
  AND (%(version)s::text[] IS NULL OR version = ANY(%(version)s::text[]))
  AND (%(queue)s::text[] IS NULL OR queue = ANY(%(queue)s::text[]))
  AND (%(machine)s::text[] IS NULL OR machine = ANY(%(machine)s::text[]))
  AND (%(tag)s::text[] IS NULL OR EXISTS (
    SELECT 1 FROM json_array_elements(runs.tags::json) t WHERE t::text = ANY(%(tag)s::text[])))
  AND (%(batch)s::text IS NULL OR batch_id = %(batch)s)
  AND (%(schedule)s::text IS NULL OR schedule_id = %(schedule)s)
  AND (%(is_test)s::boolean IS NULL OR is_test = %(is_test)s)
  AND (%(created_from)s::bigint IS NULL OR created_at >= %(created_from)s)
  AND (%(created_to)s::bigint IS NULL OR created_at <= %(created_to)s)

-- name: list_runs_newest
SELECT * FROM runs WHERE (%(after)s::bigint IS NULL OR seq < %(after)s) AND {run_filter}
ORDER BY seq DESC LIMIT %(size)s

-- name: list_runs_before
SELECT * FROM runs WHERE seq > %(before)s AND {run_filter} ORDER BY seq LIMIT %(size)s

-- name: get_ops
SELECT * FROM ops WHERE run_id = %s AND attempt = %s ORDER BY n

-- name: get_op
SELECT * FROM ops WHERE run_id = %s AND attempt = %s AND op = %s

-- name: take_fresh_ops
WITH taken AS (
  UPDATE ops SET fresh = false WHERE run_id = %s AND attempt = %s AND fresh RETURNING *
)
SELECT * FROM taken ORDER BY done_at, n

-- name: insert_op
INSERT INTO ops VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: complete_op
UPDATE ops SET done = true, fresh = true, result = %s, due_at = NULL, done_at = %s
WHERE run_id = %s AND attempt = %s AND op = %s

-- name: pending_ops
-- Runs are locked first: whoever changes a run's operations holds its lock already.
SELECT ops.* FROM ops JOIN runs ON runs.id = ops.run_id
WHERE NOT ops.done AND ops.ref = ANY(%s::text[]) ORDER BY ops.run_id, ops.n FOR UPDATE OF runs, ops

-- name: due_ops
SELECT ops.* FROM ops JOIN runs ON runs.id = ops.run_id
WHERE NOT ops.done AND ops.due_at <= %s ORDER BY ops.due_at, ops.run_id, ops.attempt, ops.op
LIMIT %s FOR UPDATE OF runs, ops SKIP LOCKED

-- name: delete_ops
DELETE FROM ops WHERE run_id = ANY(%s::text[])

-- name: insert_batch
INSERT INTO batches VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: get_batches
SELECT * FROM batches WHERE id = ANY(%s::text[])

-- name: get_batches_locked
{get_batches} ORDER BY id FOR UPDATE

-- name: lock_name
-- Whoever looks for a name that may have to be made waits for whoever else does.
SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))

-- name: batch_by_key
SELECT * FROM batches WHERE idempotency_key = %s AND idempotency_expires_at > %s AND status <> 'ABORTED'
ORDER BY created_at DESC LIMIT 1

-- name: update_batch
UPDATE batches SET updated_at = %s, sealed = %s, accepted = %s, remaining = %s, status = %s, completed_at = %s
WHERE id = %s

-- name: insert_batch_item
INSERT INTO batch_items VALUES (%s, %s, %s)

-- name: insert_batch_error
INSERT INTO batch_errors VALUES (%s, %s, %s, %s)

-- name: batch_items
SELECT item, run_id FROM batch_items WHERE batch_id = %s ORDER BY item

-- name: batch_errors
SELECT item, task, error FROM batch_errors WHERE batch_id = %s ORDER BY item

-- name: watch_for_batch
INSERT INTO batch_watchers AS w VALUES (%s, %s, 1) ON CONFLICT (run_id, batch_id) DO UPDATE SET n = w.n + 1

-- name: take_watchers
DELETE FROM batch_watchers WHERE run_id = ANY(%s::text[]) RETURNING batch_id, n

-- name: stale_batches
SELECT * FROM batches WHERE NOT sealed AND status = 'PENDING' AND created_at < %s LIMIT 100 FOR UPDATE SKIP LOCKED

-- name: get_keys
SELECT k.* FROM idempotency_keys k JOIN unnest(%s::text[], %s::text[]) AS wanted (task, key) USING (task, key)

-- name: put_key
-- Writes nothing if another run has got the key since it was read.
INSERT INTO idempotency_keys AS k VALUES (%s, %s, %s, %s)
ON CONFLICT (task, key) DO UPDATE SET run_id = excluded.run_id, expires_at = excluded.expires_at
WHERE k.run_id = %s

-- name: put_queue
INSERT INTO queues AS q (name, concurrency_limit, updated_at) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET concurrency_limit = excluded.concurrency_limit, updated_at = excluded.updated_at
WHERE q.concurrency_limit IS DISTINCT FROM excluded.concurrency_limit

-- name: add_queues
INSERT INTO queues (name, updated_at) SELECT name, %s FROM unnest(%s::text[]) AS new (name) ORDER BY name
ON CONFLICT DO NOTHING

-- name: get_queue
SELECT * FROM queues WHERE name = %s

-- name: get_queue_locked
{get_queue} FOR UPDATE

-- name: update_queue
UPDATE queues SET concurrency_limit = %s, updated_at = %s, override_limit = %s, overridden_at = %s, paused_at = %s
WHERE name = %s

-- name: queue_names
SELECT name FROM queues ORDER BY name

-- name: queue_loads
SELECT name, (SELECT count(*) FROM runs WHERE status = 'EXECUTING' AND queue = name),
  (SELECT count(*) FROM runs WHERE ready AND queue = name)
FROM unnest(%s::text[]) AS asked (name)

-- name: total_load
SELECT (SELECT count(*) FROM runs WHERE status = 'EXECUTING'), (SELECT count(*) FROM runs WHERE ready)

-- name: leave_worker
UPDATE runs SET worker = NULL
WHERE worker IS NOT NULL AND status <> 'EXECUTING' AND (%s::text IS NULL OR worker = %s)

-- name: put_worker
INSERT INTO workers VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until

-- name: end_stalled
-- A server that stands still may hold locks: no timeout ends a transaction that waits for the rest of a pipeline.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND application_name = current_setting('application_name')
  AND backend_xid IS NOT NULL AND xact_start < clock_timestamp() - make_interval(secs => %s)

-- name: renew_lease
UPDATE workers SET lease_until = %s WHERE id = %s AND lease_until > 0

-- name: hold_lease
SELECT id FROM workers WHERE id = %s AND lease_until > 0 FOR KEY SHARE

-- name: delete_worker
DELETE FROM workers WHERE id = %s

-- name: delete_mail
DELETE FROM mail WHERE worker = %s

-- name: expired_workers
SELECT id FROM workers WHERE lease_until < %s FOR UPDATE SKIP LOCKED

-- name: count_up
INSERT INTO meta AS m VALUES (%s, 1) ON CONFLICT (name) DO UPDATE SET value = m.value + 1 RETURNING value

-- name: insert_token
INSERT INTO tokens VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)

-- name: get_token
SELECT * FROM tokens WHERE id = %s

-- name: get_token_locked
{get_token} FOR UPDATE

-- name: token_by_key
SELECT * FROM tokens WHERE idempotency_key = %s AND (idempotency_expires_at IS NULL OR idempotency_expires_at > %s)
ORDER BY created_at DESC, id DESC LIMIT 1

-- name: token_by_key_locked
{token_by_key} FOR UPDATE

-- name: update_token
UPDATE tokens SET status = %s, completed_at = %s, output = %s, output_type = %s, output_is_error = %s WHERE id = %s

-- name: due_tokens
SELECT * FROM tokens WHERE status = 'WAITING' AND timeout_at <= %s ORDER BY timeout_at, id
LIMIT %s FOR UPDATE SKIP LOCKED

-- name: token_filter
(%(status)s::text[] IS NULL OR status = ANY(%(status)s::text[]))
  AND (%(key)s::text IS NULL OR idempotency_key = %(key)s)
  AND (%(tag)s::text[] IS NULL OR EXISTS (
    SELECT 1 FROM json_array_elements(tokens.tags::json) t WHERE t::text = ANY(%(tag)s::text[])))
  AND (%(created_from)s::bigint IS NULL OR created_at >= %(created_from)s)
  AND (%(created_to)s::bigint IS NULL OR created_at <= %(created_to)s)

-- name: list_tokens_newest
SELECT * FROM tokens WHERE (%(after)s::text IS NULL OR id < %(after)s) AND {token_filter}
ORDER BY id DESC LIMIT %(size)s

-- name: list_tokens_before
SELECT * FROM tokens WHERE id > %(before)s AND {token_filter} ORDER BY id LIMIT %(size)s

-- name: schedules
SELECT * FROM schedules WHERE (%s::text IS NULL OR type = %s) ORDER BY task, id

-- name: schedules_locked
{schedules} FOR UPDATE

-- name: get_schedule
SELECT * FROM schedules WHERE id = %s

-- name: get_schedule_locked
{get_schedule} FOR UPDATE

-- name: schedule_by_key
SELECT * FROM schedules WHERE deduplication_key = %s

-- name: schedule_by_key_locked
{schedule_by_key} FOR UPDATE

-- name: list_schedules
SELECT * FROM schedules ORDER BY task, id LIMIT %s OFFSET %s

-- name: count_schedules
SELECT count(*) FROM schedules

-- name: put_schedule
INSERT INTO schedules VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET task = excluded.task, cron = excluded.cron, timezone = excluded.timezone,
  type = excluded.type, active = excluded.active, next_at = excluded.next_at, last_at = excluded.last_at,
  deduplication_key = excluded.deduplication_key, external_id = excluded.external_id

-- name: delete_schedule
DELETE FROM schedules WHERE id = %s

-- name: due_schedules
SELECT * FROM schedules WHERE active AND next_at <= %s AND task = ANY(%s::text[])
ORDER BY next_at, id LIMIT %s FOR UPDATE SKIP LOCKED

-- name: variables
SELECT * FROM variables ORDER BY name

-- name: put_variable
INSERT INTO variables VALUES (%s, %s, %s, %s) ON CONFLICT (name) DO UPDATE
SET value = excluded.value, is_secret = excluded.is_secret, updated_at = excluded.updated_at

-- name: delete_variable
DELETE FROM variables WHERE name = %s

-- name: append_log
INSERT INTO logs (run_id, attempt, at, stream, level, message, data, span)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)

-- name: read_logs
SELECT * FROM logs WHERE run_id = %s AND seq > %s ORDER BY seq LIMIT %s

-- name: put_span
-- A span is told when it begins and when it ends; what a replay begins again began when it first did.
INSERT INTO spans (run_id, id, attempt, parent_id, name, kind, started_ns, ended_ns, error, attributes, events)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id, id) DO UPDATE SET
  name = excluded.name, started_ns = least(spans.started_ns, excluded.started_ns), ended_ns = excluded.ended_ns,
  error = excluded.error, attributes = excluded.attributes, events = excluded.events
WHERE excluded.ended_ns IS NOT NULL OR spans.ended_ns IS NULL

-- name: read_spans
SELECT run_id, id, attempt, parent_id, name, kind, started_ns, ended_ns, error, attributes, events
FROM spans WHERE run_id = ANY(%s::text[]) ORDER BY started_ns, seq LIMIT %s

-- name: open_spans
SELECT id, started_ns FROM spans WHERE run_id = %s AND attempt = %s AND ended_ns IS NULL

-- name: next_due
SELECT least(
  (SELECT min(due_at) FROM runs WHERE due_at IS NOT NULL),
  (SELECT min(due_at) FROM ops WHERE NOT done AND due_at IS NOT NULL),
  (SELECT min(timeout_at) FROM tokens WHERE status = 'WAITING' AND timeout_at IS NOT NULL),
  (SELECT min(next_at) FROM schedules WHERE active AND next_at IS NOT NULL AND task = ANY(%s::text[]))
)

-- name: send_mail
INSERT INTO mail (worker, message) VALUES (%s, %s)

-- name: take_mail
-- Materialized: as a subquery it may be executed for each row, and would find others each time.
WITH oldest AS MATERIALIZED (
  SELECT id FROM mail WHERE worker = ANY(%s::text[]) ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED
), taken AS (
  DELETE FROM mail USING oldest WHERE mail.id = oldest.id RETURNING mail.id, worker, message
)
SELECT worker, message FROM taken ORDER BY id

-- name: note_commit
INSERT INTO commits AS c VALUES (%s, %s, now())
ON CONFLICT (server) DO UPDATE SET number = excluded.number, at = excluded.at

-- name: end_of_last
-- A transaction whose connection was lost may still be under way: it is waited for.
SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))

-- name: find_commit
SELECT number FROM commits WHERE server = %s

-- name: forget_commits
DELETE FROM commits WHERE at < now() - interval '7 days'

-- name: join_in
-- Servers write side by side, each in one transaction at a time.
SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0)), pg_advisory_xact_lock(hashtextextended(%s, 1))

-- name: write_alone
-- A server whose transaction failed repeatedly because of others' writes while they wait.
SELECT pg_advisory_xact_lock(hashtextextended(%s, 0)), pg_advisory_xact_lock(hashtextextended(%s, 1))

-- name: time
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: notify
SELECT pg_notify(%s, %s)
