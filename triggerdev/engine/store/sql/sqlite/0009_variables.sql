-- Environment variables of tasks; values are encrypted, the key is elsewhere.

CREATE TABLE variables (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  is_secret INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
