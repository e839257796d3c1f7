-- The last way out that each endpoint told of, as the event was signed; the collector can open none.
CREATE TABLE way_out (
    endpoint    BLOB PRIMARY KEY REFERENCES endpoint (id),
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at_ns       INTEGER NOT NULL,
    event       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
