-- Requests that carry an idempotency key: what was asked, and what was answered.

CREATE TABLE repeat (
    -- SHA-256 of what the asker signed in with, and of the key.
    scope       BLOB NOT NULL,
    key         BLOB NOT NULL,
    -- SHA-256 of the request.
    request     BLOB NOT NULL,
    made_ns     INTEGER NOT NULL,
    -- None while it is under way, or where nobody knows what became of it.
    status      INTEGER,
    -- Sealed by what the asker signed in with: an answer may hold a secret that is kept nowhere else.
    answer      BLOB,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX repeat_made ON repeat (made_ns);
