-- What endpoints did by themselves.

CREATE TABLE reaction (
    endpoint    BLOB NOT NULL REFERENCES endpoint (id),
    id          BLOB NOT NULL,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    -- The event that told of it, as it was signed.
    event       BLOB NOT NULL,
    -- What became of it: five facts, as of a command.
    life        TEXT NOT NULL,
    stands      INTEGER NOT NULL,
    PRIMARY KEY (endpoint, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX reaction_standing ON reaction (endpoint) WHERE stands;
