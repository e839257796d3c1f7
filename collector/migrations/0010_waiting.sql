-- Until when further signatures can authorise a command: then endpoints find it too old. Null once it
-- is authorised.
ALTER TABLE command ADD COLUMN waits_until_ns INTEGER;
UPDATE command SET waits_until_ns = requested_ns + 900000000000
WHERE id NOT IN (SELECT command FROM command_form);
CREATE INDEX command_waits ON command (client, waits_until_ns) WHERE waits_until_ns IS NOT NULL;

-- What was asked of one endpoint.
CREATE INDEX command_target_endpoint ON command_target (endpoint);
