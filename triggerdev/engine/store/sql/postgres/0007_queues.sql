-- Queues can be paused, and their limits overridden. A lane is a queue with a concurrency key: `turn` grows with
-- each claim that takes a run of it. Ready runs are found by lane and task, so that nothing is read in vain.

ALTER TABLE queues ADD COLUMN override_limit integer;
ALTER TABLE queues ADD COLUMN overridden_at bigint;
ALTER TABLE queues ADD COLUMN paused_at bigint;

CREATE TABLE lanes (
  queue text COLLATE "C" NOT NULL,
  concurrency_key text COLLATE "C" NOT NULL,
  turn bigint NOT NULL,
  served_at bigint NOT NULL,
  PRIMARY KEY (queue, concurrency_key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX lanes_served ON lanes (served_at);
CREATE SEQUENCE turns INCREMENT BY 10000;

DROP INDEX runs_ready;
CREATE INDEX runs_ready ON runs (queue, concurrency_key, task, score, seq) WHERE ready;

INSERT INTO queues (name, updated_at) SELECT DISTINCT queue, 0 FROM runs WHERE ready ON CONFLICT DO NOTHING;
