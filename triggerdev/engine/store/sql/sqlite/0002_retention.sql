-- What retention asks: what finished when, which batches a run belongs to, which tokens live runs have made.

CREATE INDEX runs_finished ON runs (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX batches_finished ON batches (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX tokens_finished ON tokens (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX batch_items_run ON batch_items (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX ops_made_token ON ops (json_extract(result, '$.id')) WHERE kind = 'create_token';
CREATE INDEX requests_expire ON idempotency_keys (expires_at) WHERE task = '';
