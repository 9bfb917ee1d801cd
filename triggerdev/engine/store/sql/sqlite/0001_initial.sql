-- The embedded database. Times are milliseconds since the epoch; lists and objects are JSON text.

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE runs (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  task TEXT NOT NULL,
  status TEXT NOT NULL,
  queue TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  rev INTEGER NOT NULL,
  ready INTEGER NOT NULL,
  due_at INTEGER,
  score INTEGER NOT NULL,
  token INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  worker TEXT,
  version TEXT,
  resuming INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  has_ops INTEGER NOT NULL,
  usage_ms INTEGER NOT NULL,
  queued_at INTEGER,
  started_at INTEGER,
  attempt_started_at INTEGER,
  finished_at INTEGER,
  delayed_until INTEGER,
  expires_at INTEGER,
  expired_at INTEGER,
  output TEXT,
  output_type TEXT NOT NULL,
  error TEXT,
  metadata TEXT,
  tags TEXT,
  machine TEXT,
  payload TEXT,
  payload_type TEXT NOT NULL,
  concurrency_key TEXT NOT NULL,
  priority REAL NOT NULL,
  ttl_ms INTEGER,
  max_attempts INTEGER,
  max_duration_ms INTEGER,
  parent_id TEXT,
  root_id TEXT,
  depth INTEGER NOT NULL,
  trigger_function TEXT NOT NULL,
  batch_id TEXT,
  schedule_id TEXT,
  idempotency_key TEXT,
  idempotency_display TEXT,
  is_test INTEGER NOT NULL,
  is_replay INTEGER NOT NULL
);
CREATE INDEX runs_ready ON runs (queue, concurrency_key, score, seq) WHERE ready = 1;
CREATE INDEX runs_executing ON runs (queue, concurrency_key, worker) WHERE status = 'EXECUTING';
CREATE INDEX runs_parked ON runs (worker) WHERE worker IS NOT NULL AND status != 'EXECUTING';
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_parent ON runs (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE ops (
  run_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  op TEXT NOT NULL,
  n INTEGER NOT NULL,
  kind TEXT NOT NULL,
  target TEXT,
  done INTEGER NOT NULL,
  result TEXT,
  ref TEXT,
  due_at INTEGER,
  fresh INTEGER NOT NULL,
  PRIMARY KEY (run_id, attempt, op)
) WITHOUT ROWID;
CREATE INDEX ops_fresh ON ops (run_id, attempt) WHERE fresh = 1;
CREATE INDEX ops_ref ON ops (ref) WHERE done = 0 AND ref IS NOT NULL;
CREATE INDEX ops_due ON ops (due_at) WHERE done = 0 AND due_at IS NOT NULL;

CREATE TABLE batches (
  id TEXT PRIMARY KEY,
  run_count INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  sealed INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  remaining INTEGER NOT NULL,
  status TEXT NOT NULL,
  idempotency_key TEXT,
  parent_id TEXT,
  completed_at INTEGER,
  idempotency_expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX batches_key ON batches (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX batches_open ON batches (created_at) WHERE sealed = 0 AND status = 'PENDING';

CREATE TABLE batch_items (
  batch_id TEXT NOT NULL,
  item INTEGER NOT NULL,
  run_id TEXT,
  PRIMARY KEY (batch_id, item)
) WITHOUT ROWID;

CREATE TABLE batch_errors (
  batch_id TEXT NOT NULL,
  item INTEGER NOT NULL,
  task TEXT NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (batch_id, item)
) WITHOUT ROWID;

CREATE TABLE batch_watchers (
  run_id TEXT NOT NULL,
  batch_id TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (run_id, batch_id)
) WITHOUT ROWID;

CREATE TABLE idempotency_keys (
  task TEXT NOT NULL,
  key TEXT NOT NULL,
  run_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (task, key)
) WITHOUT ROWID;

CREATE TABLE queues (
  name TEXT PRIMARY KEY,
  concurrency_limit INTEGER,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE workers (id TEXT PRIMARY KEY, lease_until INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE tokens (
  id TEXT PRIMARY KEY,
  status TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  timeout_at INTEGER,
  completed_at INTEGER,
  idempotency_key TEXT,
  idempotency_expires_at INTEGER,
  tags TEXT,
  output TEXT,
  output_type TEXT NOT NULL,
  output_is_error INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tokens_key ON tokens (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tokens_due ON tokens (timeout_at) WHERE status = 'WAITING' AND timeout_at IS NOT NULL;

CREATE TABLE schedules (
  id TEXT PRIMARY KEY,
  task TEXT NOT NULL,
  cron TEXT NOT NULL,
  timezone TEXT NOT NULL,
  type TEXT NOT NULL,
  active INTEGER NOT NULL,
  next_at INTEGER,
  last_at INTEGER,
  deduplication_key TEXT UNIQUE,
  external_id TEXT
) WITHOUT ROWID;

CREATE TABLE logs (
  seq INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at INTEGER NOT NULL,
  stream TEXT NOT NULL,
  level TEXT NOT NULL,
  message TEXT NOT NULL,
  data TEXT
);
CREATE INDEX logs_run ON logs (run_id, seq);
