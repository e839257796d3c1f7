-- The log's file. Rows are only added; retention empties `events` and keeps headers provable.

CREATE TABLE IF NOT EXISTS client (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE IF NOT EXISTS host (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE IF NOT EXISTS source (
    id          INTEGER PRIMARY KEY,
    endpoint    BLOB NOT NULL UNIQUE
) STRICT;

-- Narrow columns first: they are read without touching the pages that the blobs spill over to.
CREATE TABLE IF NOT EXISTS batch (
    position    INTEGER PRIMARY KEY,
    client      INTEGER NOT NULL REFERENCES client (id),
    source      INTEGER NOT NULL REFERENCES source (id),
    host        INTEGER NOT NULL REFERENCES host (id),
    lane        INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    classes     INTEGER NOT NULL,
    from_ns     INTEGER NOT NULL,
    to_ns       INTEGER NOT NULL,
    received_ns INTEGER NOT NULL,
    clock_offset_ns INTEGER NOT NULL,
    header      BLOB NOT NULL,
    events      BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX IF NOT EXISTS batch_chain ON batch (source, lane, epoch, first);
CREATE INDEX IF NOT EXISTS batch_client ON batch (client, position, classes, from_ns, to_ns);
CREATE INDEX IF NOT EXISTS batch_source ON batch (source, position, classes, from_ns, to_ns);

-- Signed jumps ahead of what is stored; gone once the lane has passed them.
CREATE TABLE IF NOT EXISTS gap (
    source  INTEGER NOT NULL REFERENCES source (id),
    lane    INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    head    BLOB NOT NULL,
    PRIMARY KEY (source, lane, epoch, first, last)
) STRICT, WITHOUT ROWID;

-- Other content under numbers that were stored already.
CREATE TABLE IF NOT EXISTS evidence (
    id          INTEGER PRIMARY KEY,
    client      INTEGER NOT NULL REFERENCES client (id),
    source      INTEGER NOT NULL REFERENCES source (id),
    received_ns INTEGER NOT NULL,
    header      BLOB NOT NULL,
    events      BLOB NOT NULL,
    UNIQUE (source, header)
) STRICT;
