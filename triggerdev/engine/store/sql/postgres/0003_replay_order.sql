-- What a replay needs to give results in the order in which the code heard them.

ALTER TABLE ops ADD COLUMN heard text;
ALTER TABLE ops ADD COLUMN done_at bigint;
