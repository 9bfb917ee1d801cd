-- The most memory that a run has used, in bytes, as far as it is known.

ALTER TABLE runs ADD COLUMN peak_memory bigint;
