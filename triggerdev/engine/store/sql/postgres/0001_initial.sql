-- Times are milliseconds since the epoch; lists and objects are JSON text. Names and ids compare by their bytes.

CREATE TABLE meta (name text COLLATE "C" PRIMARY KEY, value bigint NOT NULL);

CREATE TABLE runs (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  task text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  queue text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  rev bigint NOT NULL,
  ready boolean NOT NULL,
  due_at bigint,
  score bigint NOT NULL,
  token bigint NOT NULL,
  attempt integer NOT NULL,
  worker text COLLATE "C",
  version text COLLATE "C",
  resuming boolean NOT NULL,
  cancel_requested boolean NOT NULL,
  has_ops boolean NOT NULL,
  usage_ms bigint NOT NULL,
  queued_at bigint,
  started_at bigint,
  attempt_started_at bigint,
  finished_at bigint,
  delayed_until bigint,
  expires_at bigint,
  expired_at bigint,
  output text,
  output_type text NOT NULL,
  error text,
  metadata text,
  tags text,
  machine text COLLATE "C",
  payload text,
  payload_type text NOT NULL,
  concurrency_key text COLLATE "C" NOT NULL,
  priority double precision NOT NULL,
  ttl_ms bigint,
  max_attempts integer,
  max_duration_ms bigint,
  parent_id text COLLATE "C",
  root_id text COLLATE "C",
  depth integer NOT NULL,
  trigger_function text NOT NULL,
  batch_id text COLLATE "C",
  schedule_id text COLLATE "C",
  idempotency_key text,
  idempotency_display text,
  is_test boolean NOT NULL,
  is_replay boolean NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX runs_ready ON runs (queue, concurrency_key, score, seq) WHERE ready;
CREATE INDEX runs_executing ON runs (queue, concurrency_key, worker) WHERE status = 'EXECUTING';
CREATE INDEX runs_at_worker ON runs (worker) WHERE worker IS NOT NULL;
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_parent ON runs (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE ops (
  run_id text COLLATE "C" NOT NULL,
  attempt integer NOT NULL,
  op text COLLATE "C" NOT NULL,
  n bigint NOT NULL,
  kind text NOT NULL,
  target text,
  done boolean NOT NULL,
  result text,
  ref text COLLATE "C",
  due_at bigint,
  fresh boolean NOT NULL,
  PRIMARY KEY (run_id, attempt, op)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX ops_ref ON ops (ref) WHERE NOT done AND ref IS NOT NULL;
CREATE INDEX ops_due ON ops (due_at) WHERE NOT done AND due_at IS NOT NULL;

CREATE TABLE batches (
  id text COLLATE "C" PRIMARY KEY,
  run_count integer NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  sealed boolean NOT NULL,
  accepted integer NOT NULL,
  remaining integer NOT NULL,
  status text NOT NULL,
  idempotency_key text COLLATE "C",
  parent_id text COLLATE "C",
  completed_at bigint,
  idempotency_expires_at bigint
) WITH (fillfactor = 50);
CREATE INDEX batches_key ON batches USING hash (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX batches_open ON batches (created_at) WHERE NOT sealed AND status = 'PENDING';

CREATE TABLE batch_items (
  batch_id text COLLATE "C" NOT NULL,
  item integer NOT NULL,
  run_id text COLLATE "C",
  PRIMARY KEY (batch_id, item)
);

CREATE TABLE batch_errors (
  batch_id text COLLATE "C" NOT NULL,
  item integer NOT NULL,
  task text NOT NULL,
  error text NOT NULL,
  PRIMARY KEY (batch_id, item)
);

CREATE TABLE batch_watchers (
  run_id text COLLATE "C" NOT NULL,
  batch_id text COLLATE "C" NOT NULL,
  n integer NOT NULL,
  PRIMARY KEY (run_id, batch_id)
);

CREATE TABLE idempotency_keys (
  task text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  expires_at bigint NOT NULL,
  PRIMARY KEY (task, key)
);

CREATE TABLE queues (
  name text COLLATE "C" PRIMARY KEY,
  concurrency_limit integer,
  updated_at bigint NOT NULL
);

CREATE TABLE workers (id text COLLATE "C" PRIMARY KEY, lease_until bigint NOT NULL);

CREATE TABLE tokens (
  id text COLLATE "C" PRIMARY KEY,
  status text NOT NULL,
  created_at bigint NOT NULL,
  timeout_at bigint,
  completed_at bigint,
  idempotency_key text COLLATE "C",
  idempotency_expires_at bigint,
  tags text,
  output text,
  output_type text NOT NULL,
  output_is_error boolean NOT NULL
);
CREATE INDEX tokens_key ON tokens USING hash (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tokens_due ON tokens (timeout_at) WHERE status = 'WAITING' AND timeout_at IS NOT NULL;

CREATE TABLE schedules (
  id text COLLATE "C" PRIMARY KEY,
  task text COLLATE "C" NOT NULL,
  cron text NOT NULL,
  timezone text NOT NULL,
  type text NOT NULL,
  active boolean NOT NULL,
  next_at bigint,
  last_at bigint,
  deduplication_key text UNIQUE,
  external_id text
);

CREATE TABLE logs (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text COLLATE "C" NOT NULL,
  attempt integer NOT NULL,
  at bigint NOT NULL,
  stream text NOT NULL,
  level text NOT NULL,
  message text NOT NULL,
  data text
);
CREATE INDEX logs_run ON logs (run_id, seq);

-- What several servers on one database need: messages for workers that are connected to another one, and the
-- number of each server's last commit (it tells, after a lost connection, whether a commit had happened).

CREATE TABLE mail (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  worker text COLLATE "C" NOT NULL,
  message text NOT NULL
);
CREATE INDEX mail_worker ON mail (worker);

CREATE TABLE commits (
  server text COLLATE "C" PRIMARY KEY,
  number bigint NOT NULL,
  at timestamptz NOT NULL
) WITH (fillfactor = 50);
