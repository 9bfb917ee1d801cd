-- Within what the user's idempotency key of a run is unique: run, attempt or global.

ALTER TABLE runs ADD COLUMN idempotency_scope TEXT;
