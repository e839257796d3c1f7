-- Clients, their rosters, who enrolled, and with what.

CREATE TABLE client (
    id          TEXT PRIMARY KEY,
    created_ns  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every roster ever taken; the highest version counts.
CREATE TABLE roster (
    client      TEXT NOT NULL REFERENCES client (id),
    version     INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    document    BLOB NOT NULL,
    stored_ns   INTEGER NOT NULL,
    PRIMARY KEY (client, version)
) STRICT, WITHOUT ROWID;

-- Of a token only the SHA-256 of its secret is kept.
CREATE TABLE token (
    id          BLOB PRIMARY KEY,
    client      TEXT NOT NULL REFERENCES client (id),
    uses        INTEGER NOT NULL,
    used        INTEGER NOT NULL DEFAULT 0,
    expires_secs INTEGER NOT NULL,
    revoked     INTEGER NOT NULL DEFAULT 0,
    note        TEXT NOT NULL,
    made_by     TEXT NOT NULL,
    made_ns     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX token_client ON token (client, made_ns);

-- The registered key is the identity; what a hello says stands beside it.
CREATE TABLE endpoint (
    id              BLOB PRIMARY KEY,
    client          TEXT NOT NULL REFERENCES client (id),
    signing_key     BLOB NOT NULL,
    host_name       TEXT NOT NULL,
    machine_id      TEXT NOT NULL,
    token           BLOB,
    enrolled_ns     INTEGER NOT NULL,
    certificate_until_secs INTEGER NOT NULL,
    os              TEXT NOT NULL DEFAULT '',
    kernel          TEXT NOT NULL DEFAULT '',
    agent_version   TEXT NOT NULL DEFAULT '',
    boot_id         TEXT NOT NULL DEFAULT '',
    roster_version  INTEGER NOT NULL DEFAULT 0,
    roster_hash     BLOB NOT NULL DEFAULT (zeroblob(32)),
    clock_offset_ns INTEGER NOT NULL DEFAULT 0,
    hello_ns        INTEGER,
    last_seen_ns    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX endpoint_client ON endpoint (client, host_name);

-- Two machines seen at once with one key.
CREATE TABLE clone (
    endpoint    BLOB NOT NULL REFERENCES endpoint (id),
    machine_id  TEXT NOT NULL,
    boot_id     TEXT NOT NULL,
    host_name   TEXT NOT NULL,
    first_ns    INTEGER NOT NULL,
    last_ns     INTEGER NOT NULL,
    PRIMARY KEY (endpoint, machine_id, boot_id)
) STRICT, WITHOUT ROWID;
