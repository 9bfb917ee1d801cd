-- Environment variables of tasks; values are encrypted, the key is elsewhere.

CREATE TABLE variables (
  name text COLLATE "C" PRIMARY KEY,
  value text NOT NULL,
  is_secret boolean NOT NULL,
  updated_at bigint NOT NULL
);
