-- What people do, what they asked endpoints for, and what is derived from the log.

-- A session is kept under the SHA-256 of its token.
CREATE TABLE session (
    hash        BLOB PRIMARY KEY,
    key         BLOB NOT NULL,
    made_ns     INTEGER NOT NULL,
    used_ns     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_key ON session (key, made_ns);

-- Each client's trail of what people did.
CREATE TABLE audit (
    client      TEXT NOT NULL REFERENCES client (id),
    number      INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    entry       BLOB NOT NULL,
    PRIMARY KEY (client, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is append-only'); END;

-- A command with the signatures that are there so far.
CREATE TABLE command (
    id          BLOB PRIMARY KEY,
    client      TEXT NOT NULL REFERENCES client (id),
    policy      INTEGER NOT NULL,
    document    BLOB NOT NULL,
    requested_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX command_client ON command (client, requested_ns);

-- Its life on each endpoint; the columns beside the life say what is searched by.
CREATE TABLE command_target (
    command     BLOB NOT NULL REFERENCES command (id),
    endpoint    BLOB NOT NULL REFERENCES endpoint (id),
    life        TEXT NOT NULL,
    undelivered INTEGER NOT NULL,
    stands      INTEGER NOT NULL,
    awaits_end  INTEGER NOT NULL,
    PRIMARY KEY (command, endpoint)
) STRICT, WITHOUT ROWID;
CREATE INDEX command_undelivered ON command_target (endpoint) WHERE undelivered;
CREATE INDEX command_stands ON command_target (endpoint) WHERE stands;
CREATE INDEX command_awaits_end ON command_target (endpoint) WHERE awaits_end;

-- Every form in which a command was ready to be handed over: a refusal may know no more than it.
CREATE TABLE command_form (
    hash        BLOB PRIMARY KEY,
    command     BLOB NOT NULL REFERENCES command (id)
) STRICT, WITHOUT ROWID;

-- The last health of each endpoint, as the event was signed.
CREATE TABLE health (
    endpoint    BLOB PRIMARY KEY REFERENCES endpoint (id),
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at_ns       INTEGER NOT NULL,
    event       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Losses that endpoints told of, as the events were signed.
CREATE TABLE gap (
    endpoint    BLOB NOT NULL REFERENCES endpoint (id),
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at_ns       INTEGER NOT NULL,
    event       BLOB NOT NULL,
    PRIMARY KEY (endpoint, epoch, seq)
) STRICT, WITHOUT ROWID;

-- Up to where in the log each derived thing was made.
CREATE TABLE derived (
    name        TEXT PRIMARY KEY,
    position    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
