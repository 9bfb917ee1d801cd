-- To find what names a body that is stored beside the database.

CREATE INDEX runs_stored_payload ON runs (payload) WHERE payload_type = 'application/store';
CREATE INDEX runs_stored_output ON runs (output) WHERE output_type = 'application/store';
CREATE INDEX tokens_stored_output ON tokens (output) WHERE output_type = 'application/store';
CREATE INDEX ops_stored_result ON ops (run_id) WHERE position('"application/store"' in result) > 0;
