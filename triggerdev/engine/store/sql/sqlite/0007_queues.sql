-- Queues can be paused, and their limits overridden. A lane is a queue with a concurrency key: `turn` grows with
-- each claim that takes a run of it. Ready runs are found by lane and task, so that nothing is read in vain.

ALTER TABLE queues ADD COLUMN override_limit INTEGER;
ALTER TABLE queues ADD COLUMN overridden_at INTEGER;
ALTER TABLE queues ADD COLUMN paused_at INTEGER;

CREATE TABLE lanes (
  queue TEXT NOT NULL,
  concurrency_key TEXT NOT NULL,
  turn INTEGER NOT NULL,
  served_at INTEGER NOT NULL,
  PRIMARY KEY (queue, concurrency_key)
) WITHOUT ROWID;
CREATE INDEX lanes_turn ON lanes (turn);
CREATE INDEX lanes_served ON lanes (served_at);

DROP INDEX runs_ready;
CREATE INDEX runs_ready ON runs (queue, concurrency_key, task, score, seq) WHERE ready = 1;

INSERT INTO queues (name, updated_at)
SELECT DISTINCT queue, 0 FROM runs INDEXED BY runs_ready WHERE ready = 1 ON CONFLICT DO NOTHING;
