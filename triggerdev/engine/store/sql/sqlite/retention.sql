-- What retention deletes: `finished_*` finds what is old, `needed_*` what must stay all the same.

-- name: finished_runs
SELECT finished_at, id FROM runs INDEXED BY runs_finished
WHERE finished_at IS NOT NULL AND finished_at < ?1 AND (finished_at, id) > (?2, ?3)
ORDER BY finished_at, id LIMIT ?4

-- name: needed_runs
SELECT r.id FROM runs r WHERE r.id IN (SELECT value FROM json_each(?1)) AND (
  EXISTS (SELECT 1 FROM runs child WHERE child.parent_id = r.id)
  OR EXISTS (SELECT 1 FROM runs parent WHERE parent.id = r.parent_id AND parent.finished_at IS NULL)
  OR EXISTS (SELECT 1 FROM idempotency_keys k
             WHERE k.task = r.task AND k.key = r.idempotency_key AND k.run_id = r.id AND k.expires_at > ?2)
  OR EXISTS (SELECT 1 FROM batch_items i JOIN batches b ON b.id = i.batch_id
             WHERE i.run_id = r.id AND (b.completed_at IS NULL OR b.idempotency_expires_at > ?2))
)

-- name: delete_keys_of_runs
DELETE FROM idempotency_keys
WHERE (task, key) IN (SELECT task, idempotency_key FROM runs
                      WHERE id IN (SELECT value FROM json_each(?1)) AND idempotency_key IS NOT NULL)
  AND run_id IN (SELECT value FROM json_each(?1))

-- name: delete_runs
DELETE FROM runs WHERE id IN (SELECT value FROM json_each(?))

-- name: finished_batches
SELECT completed_at, id FROM batches INDEXED BY batches_finished
WHERE completed_at IS NOT NULL AND completed_at < ?1 AND (completed_at, id) > (?2, ?3)
ORDER BY completed_at, id LIMIT ?4

-- name: needed_batches
SELECT b.id FROM batches b WHERE b.id IN (SELECT value FROM json_each(?1)) AND (
  b.idempotency_expires_at > ?2
  OR EXISTS (SELECT 1 FROM batch_items i JOIN runs r ON r.id = i.run_id WHERE i.batch_id = b.id)
)

-- name: delete_batch_items
DELETE FROM batch_items WHERE batch_id IN (SELECT value FROM json_each(?))

-- name: delete_batch_errors
DELETE FROM batch_errors WHERE batch_id IN (SELECT value FROM json_each(?))

-- name: delete_batches
DELETE FROM batches WHERE id IN (SELECT value FROM json_each(?))

-- name: finished_tokens
SELECT completed_at, id FROM tokens INDEXED BY tokens_finished
WHERE completed_at IS NOT NULL AND completed_at < ?1 AND (completed_at, id) > (?2, ?3)
ORDER BY completed_at, id LIMIT ?4

-- name: needed_tokens
-- A name that has no end of its own (2^53) keeps no token that is finished.
SELECT t.id FROM tokens t WHERE t.id IN (SELECT value FROM json_each(?1)) AND (
  (t.idempotency_expires_at > ?2 AND t.idempotency_expires_at < 9007199254740992)
  OR EXISTS (SELECT 1 FROM ops o WHERE o.kind = 'create_token' AND json_extract(o.result, '$.id') = t.id)
)

-- name: delete_tokens
DELETE FROM tokens WHERE id IN (SELECT value FROM json_each(?))

-- name: delete_logs_of
DELETE FROM logs WHERE seq IN (
  SELECT seq FROM logs WHERE run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, seq LIMIT ?)

-- name: delete_old_logs
-- Lines are stored about in the order of their times: when none of the first is old, no later one is looked at.
DELETE FROM logs WHERE seq IN (SELECT seq FROM logs ORDER BY seq LIMIT ?2) AND at < ?1

-- name: delete_spans_of
DELETE FROM spans WHERE seq IN (
  SELECT seq FROM spans WHERE run_id IN (SELECT value FROM json_each(?)) LIMIT ?)

-- name: delete_old_spans
-- As with lines.
DELETE FROM spans WHERE seq IN (SELECT seq FROM spans ORDER BY seq LIMIT ?2) AND started_ns < ?1

-- name: delete_expired_requests
DELETE FROM idempotency_keys WHERE task = '' AND key IN (
  SELECT key FROM idempotency_keys INDEXED BY requests_expire
  WHERE task = '' AND expires_at <= ? ORDER BY expires_at, key LIMIT ?)

-- name: delete_idle_lanes
DELETE FROM lanes WHERE (queue, concurrency_key) IN (
  SELECT queue, concurrency_key FROM lanes WHERE served_at < ? ORDER BY served_at LIMIT ?)

-- name: stored_bodies
-- Those among some keys that runs and tokens name.
SELECT payload FROM runs WHERE payload_type = 'application/store' AND payload IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT output FROM runs WHERE output_type = 'application/store' AND output IN (SELECT value FROM json_each(?1))
UNION ALL
SELECT output FROM tokens WHERE output_type = 'application/store' AND output IN (SELECT value FROM json_each(?1))

-- name: stored_results
-- Of runs that have not ended: there are never many.
SELECT result FROM ops WHERE instr(result, '"application/store"') > 0
