-- Grows whenever what `SHA256SUMS` and `manifest.json` of this session name has moved; 0 once they were written after it.
ALTER TABLE session ADD COLUMN records_due INTEGER NOT NULL DEFAULT 0 CHECK (records_due >= 0);
CREATE INDEX session_due ON session (id) WHERE records_due > 0;
