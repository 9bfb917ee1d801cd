-- Spans beside the runs, the trace that a run continues, what it cost.

ALTER TABLE runs ADD COLUMN traceparent text;
ALTER TABLE runs ADD COLUMN tracestate text;
ALTER TABLE runs ADD COLUMN usage_before bigint NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cost double precision NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN base_cost double precision NOT NULL DEFAULT 0;

ALTER TABLE logs ADD COLUMN span text;

CREATE TABLE spans (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  attempt integer NOT NULL,
  parent_id text NOT NULL,
  name text NOT NULL,
  kind text NOT NULL,
  started_ns bigint NOT NULL,
  ended_ns bigint,
  error text,
  attributes text,
  events text,
  UNIQUE (run_id, id)
);
