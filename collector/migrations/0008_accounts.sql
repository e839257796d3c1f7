-- How people sign in beside their keys, and the tokens of their programs.

-- An account stands for the person with a rostered key; it grants nothing by itself.
CREATE TABLE account (
    id          BLOB PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    key         BLOB NOT NULL UNIQUE,
    -- Where it was vouched for, with commas between; null for every client of the key.
    clients     TEXT,
    password    TEXT NOT NULL,
    -- Sealed with a key that is not in this database.
    totp        BLOB NOT NULL,
    made_ns     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_code (
    account     BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    hash        BLOB NOT NULL,
    PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;

-- Steps whose code was used: a code counts once.
CREATE TABLE totp_used (
    account     BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    step        INTEGER NOT NULL,
    used_ns     INTEGER NOT NULL,
    PRIMARY KEY (account, step)
) STRICT, WITHOUT ROWID;

-- From where it was signed in to before.
CREATE TABLE account_network (
    account     BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    network     TEXT NOT NULL,
    last_ns     INTEGER NOT NULL,
    PRIMARY KEY (account, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE passkey (
    id          BLOB PRIMARY KEY,
    credential  BLOB NOT NULL UNIQUE,
    account     BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    algorithm   TEXT NOT NULL,
    public      BLOB NOT NULL,
    counter     INTEGER NOT NULL,
    made_ns     INTEGER NOT NULL,
    used_ns     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX passkey_account ON passkey (account, made_ns);

-- Kept under the SHA-256 of its code; the draft is what was chosen before its last step.
CREATE TABLE invitation (
    hash        BLOB PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    key         BLOB NOT NULL,
    operator    TEXT NOT NULL,
    clients     TEXT,
    made_by     TEXT NOT NULL,
    made_ns     INTEGER NOT NULL,
    expires_ns  INTEGER NOT NULL,
    name        TEXT,
    password    TEXT,
    totp        BLOB
) STRICT, WITHOUT ROWID;

-- Sessions are short; those of before are opened anew.
DROP TABLE session;
CREATE TABLE session (
    hash        BLOB PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    key         BLOB NOT NULL,
    account     BLOB REFERENCES account (id) ON DELETE CASCADE,
    way         TEXT NOT NULL,
    cookie      INTEGER NOT NULL,
    address     TEXT NOT NULL,
    agent       TEXT NOT NULL,
    made_ns     INTEGER NOT NULL,
    used_ns     INTEGER NOT NULL,
    proved_ns   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_key ON session (key, made_ns);
CREATE INDEX session_account ON session (account);

-- Kept under the SHA-256 of its text.
CREATE TABLE api_token (
    hash        BLOB PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    key         BLOB NOT NULL,
    -- With which account it was made; it goes with it.
    account     BLOB REFERENCES account (id) ON DELETE CASCADE,
    clients     TEXT,
    role_max    TEXT NOT NULL,
    read_only   INTEGER NOT NULL,
    name        TEXT NOT NULL,
    made_ns     INTEGER NOT NULL,
    expires_ns  INTEGER NOT NULL,
    used_ns     INTEGER,
    used_from   TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX api_token_key ON api_token (key, made_ns);
