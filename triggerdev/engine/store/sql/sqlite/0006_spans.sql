-- Spans beside the runs, the trace that a run continues, what it cost.

ALTER TABLE runs ADD COLUMN traceparent TEXT;
ALTER TABLE runs ADD COLUMN tracestate TEXT;
ALTER TABLE runs ADD COLUMN usage_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cost REAL NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN base_cost REAL NOT NULL DEFAULT 0;

ALTER TABLE logs ADD COLUMN span TEXT;

CREATE TABLE spans (
  seq INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  parent_id TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  started_ns INTEGER NOT NULL,
  ended_ns INTEGER,
  error TEXT,
  attributes TEXT,
  events TEXT,
  UNIQUE (run_id, id)
);
