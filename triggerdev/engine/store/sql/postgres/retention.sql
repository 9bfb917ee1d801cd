-- What retention deletes: `finished_*` finds what is old, `needed_*` what must stay all the same.

-- name: try_lock
SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))

-- name: finished_runs
SELECT finished_at, id FROM runs WHERE finished_at < %s AND (finished_at, id) > (%s, %s)
ORDER BY finished_at, id LIMIT %s FOR UPDATE SKIP LOCKED

-- name: stored_key
CASE WHEN length(r.idempotency_key) <= 512 THEN r.idempotency_key
  ELSE 'sha256:' || encode(sha256(convert_to(r.idempotency_key, 'UTF8')), 'hex') END

-- name: needed_runs
SELECT r.id FROM runs r WHERE r.id = ANY(%s::text[]) AND (
  EXISTS (SELECT 1 FROM runs child WHERE child.parent_id = r.id)
  OR EXISTS (SELECT 1 FROM runs parent WHERE parent.id = r.parent_id AND parent.finished_at IS NULL)
  OR EXISTS (SELECT 1 FROM idempotency_keys k
             WHERE k.task = r.task AND k.key = {stored_key} AND k.run_id = r.id AND k.expires_at > %s)
  OR EXISTS (SELECT 1 FROM batch_items i JOIN batches b ON b.id = i.batch_id
             WHERE i.run_id = r.id AND (b.completed_at IS NULL OR b.idempotency_expires_at > %s))
)

-- name: delete_keys_of_runs
DELETE FROM idempotency_keys k USING runs r
WHERE r.id = ANY(%s::text[]) AND k.task = r.task AND k.key = {stored_key} AND k.run_id = r.id

-- name: delete_runs
DELETE FROM runs WHERE id = ANY(%s::text[])

-- name: finished_batches
SELECT completed_at, id FROM batches WHERE completed_at < %s AND (completed_at, id) > (%s, %s)
ORDER BY completed_at, id LIMIT %s FOR UPDATE SKIP LOCKED

-- name: needed_batches
SELECT b.id FROM batches b WHERE b.id = ANY(%s::text[]) AND (
  b.idempotency_expires_at > %s
  OR EXISTS (SELECT 1 FROM batch_items i JOIN runs r ON r.id = i.run_id WHERE i.batch_id = b.id)
)

-- name: delete_batch_items
DELETE FROM batch_items WHERE batch_id = ANY(%s::text[])

-- name: delete_batch_errors
DELETE FROM batch_errors WHERE batch_id = ANY(%s::text[])

-- name: delete_batches
DELETE FROM batches WHERE id = ANY(%s::text[])

-- name: finished_tokens
SELECT completed_at, id FROM tokens WHERE completed_at < %s AND (completed_at, id) > (%s, %s)
ORDER BY completed_at, id LIMIT %s FOR UPDATE SKIP LOCKED

-- name: needed_tokens
-- A name that has no end of its own (2^53) keeps no token that is finished.
SELECT t.id FROM tokens t WHERE t.id = ANY(%s::text[]) AND (
  (t.idempotency_expires_at > %s AND t.idempotency_expires_at < 9007199254740992)
  OR EXISTS (SELECT 1 FROM ops o WHERE o.kind = 'create_token' AND o.result::json ->> 'id' = t.id)
)

-- name: delete_tokens
DELETE FROM tokens WHERE id = ANY(%s::text[])

-- name: delete_logs_of
DELETE FROM logs WHERE seq IN (
  SELECT seq FROM logs WHERE run_id = ANY(%s::text[]) ORDER BY run_id, seq LIMIT %s)

-- name: delete_old_logs
-- Lines are stored about in the order of their times: when none of the first is old, no later one is looked at.
DELETE FROM logs WHERE seq IN (SELECT seq FROM logs ORDER BY seq LIMIT %s) AND at < %s

-- name: delete_spans_of
DELETE FROM spans WHERE seq IN (SELECT seq FROM spans WHERE run_id = ANY(%s::text[]) LIMIT %s)

-- name: delete_old_spans
-- As with lines.
DELETE FROM spans WHERE seq IN (SELECT seq FROM spans ORDER BY seq LIMIT %s) AND started_ns < %s

-- name: delete_expired_requests
DELETE FROM idempotency_keys WHERE task = '' AND key IN (
  SELECT key FROM idempotency_keys WHERE task = '' AND expires_at <= %s ORDER BY expires_at, key LIMIT %s)

-- name: delete_idle_lanes
-- Materialized: as a subquery it may be executed for each row, and would find others each time.
WITH idle AS MATERIALIZED (
  SELECT queue, concurrency_key FROM lanes WHERE served_at < %s ORDER BY served_at LIMIT %s FOR UPDATE SKIP LOCKED)
DELETE FROM lanes USING idle WHERE lanes.queue = idle.queue AND lanes.concurrency_key = idle.concurrency_key

-- name: stored_bodies
-- Those among some keys that runs and tokens name.
SELECT payload FROM runs WHERE payload_type = 'application/store' AND payload = ANY(%(keys)s::text[])
UNION ALL
SELECT output FROM runs WHERE output_type = 'application/store' AND output = ANY(%(keys)s::text[])
UNION ALL
SELECT output FROM tokens WHERE output_type = 'application/store' AND output = ANY(%(keys)s::text[])

-- name: stored_results
-- Of runs that have not ended: there are never many.
SELECT result FROM ops WHERE position('"application/store"' in result) > 0
