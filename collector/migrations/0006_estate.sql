-- What people know of a client's machines: where they stand, what they are for. Nothing of it decides
-- what an endpoint obeys; signed policy does.

CREATE TABLE site (
    client      TEXT NOT NULL REFERENCES client (id),
    name        TEXT NOT NULL,
    title       TEXT NOT NULL,
    time_zone   TEXT NOT NULL,
    made_ns     INTEGER NOT NULL,
    PRIMARY KEY (client, name)
) STRICT, WITHOUT ROWID;

-- An endpoint that nobody said anything about has no row.
CREATE TABLE note (
    endpoint    BLOB PRIMARY KEY REFERENCES endpoint (id),
    client      TEXT NOT NULL,
    site        TEXT,
    criticality INTEGER NOT NULL,
    role        TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    FOREIGN KEY (client, site) REFERENCES site (client, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX note_site ON note (client, site);

CREATE TABLE label (
    endpoint    BLOB NOT NULL REFERENCES endpoint (id),
    label       TEXT NOT NULL,
    PRIMARY KEY (endpoint, label)
) STRICT, WITHOUT ROWID;

-- Of the last health, what lists are filtered and sorted by: its time, and the names of what stands,
-- each between commas.
ALTER TABLE endpoint ADD COLUMN health_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoint ADD COLUMN standing TEXT NOT NULL DEFAULT '';
UPDATE endpoint SET health_ns = coalesce((SELECT at_ns FROM health WHERE endpoint = id), 0);
