-- Of what endpoints said last, what lists are filtered and counted by.

-- What it said of its silence and has not taken back by a later health: off, stopped or asleep.
ALTER TABLE endpoint ADD COLUMN farewell TEXT;

-- Why somebody should look at it, by its last health: names, each between commas. Null where it is
-- still to be read from the health and the notice that an older version took in.
ALTER TABLE endpoint ADD COLUMN needs TEXT DEFAULT '';
UPDATE endpoint SET needs = NULL;
