-- Why an endpoint is silent.

-- How its last session ended; none before its first has.
ALTER TABLE endpoint ADD COLUMN ended TEXT;

-- What it last said of its own silence, as the event was signed.
CREATE TABLE notice (
    endpoint    BLOB PRIMARY KEY REFERENCES endpoint (id),
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at_ns       INTEGER NOT NULL,
    event       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
