//! Every bound on the wire, by name and with its reason.

/// One websocket message. Four times a full batch, so that a batch of incompressible events fits.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The events of one batch before compression; bounds what a receiver must hold to check one.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// The events of one batch; keeps an event's audit path at ten hashes.
pub const BATCH_EVENTS_MAX: usize = 1024;

/// One event. Holds a command line of 4 KiB or a log line of 64 KiB with room to spare.
pub const EVENT_BYTES_MAX: usize = 96 << 10;

/// One line of a log; what is longer is cut and marked.
pub const LOG_LINE_BYTES_MAX: usize = 64 << 10;

/// Lines that travel in one event: what a reader takes apart to show one of them.
pub const LOG_RUN_LINES_MAX: usize = 256;

/// The arguments of one process; what is longer is cut and marked.
pub const ARGS_BYTES_MAX: usize = 4 << 10;

/// Addresses and names that one DNS answer tells; a round robin of more is told in part.
pub const DNS_ANSWERS_MAX: usize = 32;

/// Items of one inventory; a machine with more packages than this is not known to us.
pub const INVENTORY_ITEMS_MAX: usize = 20_000;

/// The changes in one part of an inventory, encoded: well below one event.
pub const INVENTORY_PART_BYTES_MAX: usize = 32 << 10;

/// One value of an inventory's item; what is longer is cut and marked.
pub const INVENTORY_VALUE_BYTES_MAX: usize = 1 << 10;

/// A signed document: roster, policy, command.
pub const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// Endpoints that one command names.
pub const TARGETS_MAX: usize = 256;

/// Signatures under one command.
pub const SIGNATURES_MAX: usize = 8;

/// A host name, as DNS bounds it.
pub const HOST_NAME_BYTES_MAX: usize = 255;

/// The reason an operator gives for a command.
pub const REASON_BYTES_MAX: usize = 1024;

/// Sent and not yet acknowledged: what an agent may have under way in one lane.
pub const IN_FLIGHT_BYTES_MAX: usize = 8 << 20;

/// Sent and not yet acknowledged: batches an agent may have under way in one lane.
pub const IN_FLIGHT_BATCHES_MAX: usize = 64;

/// How old a nonce may be when a command does not say, in seconds of endpoint time.
pub const NONCE_AGE_SECS_DEFAULT: u64 = 15 * 60;

/// How old a nonce may ever be, in seconds of endpoint time.
pub const NONCE_AGE_SECS_MAX: u64 = 7 * 24 * 3600;

/// How often an endpoint makes a new nonce, in seconds of endpoint time.
pub const NONCE_PERIOD_SECS: u64 = 60;

/// How long an isolation stands when a command does not say.
pub const LEASE_SECS_DEFAULT: u64 = 24 * 3600;

/// How long an isolation may stand without being renewed.
pub const LEASE_SECS_MAX: u64 = 7 * 24 * 3600;

/// The SQL of a live query; longer ones are written by programs, and run somewhere else.
pub const QUERY_SQL_BYTES_MAX: usize = 16 << 10;

/// Rows of one answer; more are for a file, not for a person.
pub const QUERY_ROWS_MAX: u64 = 100_000;

/// Bytes of one answer: what a collector may have to hold for one reader.
pub const QUERY_BYTES_MAX: u64 = 8 << 20;

/// How long a query may run: it shares the endpoint with its user.
pub const QUERY_TIME_MS_MAX: u64 = 60_000;

/// Columns of one answer.
pub const QUERY_COLUMNS_MAX: usize = 256;

/// A column's name; longer ones are cut.
pub const QUERY_COLUMN_BYTES_MAX: usize = 256;

/// What an endpoint says of a query that failed; longer sentences are cut.
pub const QUERY_ERROR_BYTES_MAX: usize = 4 << 10;

/// The rows of one part of an answer, and so the largest row.
pub const ROWS_BYTES_MAX: usize = 512 << 10;

/// A part of an answer is sent once it has this many bytes.
pub const ROWS_BYTES_USUAL: usize = 48 << 10;

/// Parts of one answer: as many as an answer of usual parts has, and as many again.
pub const ROWS_PARTS_MAX: usize = 512;

/// The bytes of an archive in one message. One is under way at a time: a batch behind it waits for a
/// second on a line of a megabit.
pub const PIECE_BYTES_MAX: usize = 128 << 10;

/// One archive: the most that a command may ask for, and room for what compression adds to what
/// cannot be compressed.
pub const ARCHIVE_BYTES_MAX: u64 = (4 << 30) + (64 << 20);

/// How often an endpoint reports its health.
pub const HEALTH_PERIOD_SECS: u64 = 30;

/// How often each end of a session is heard from at least; below the shortest common NAT timeout.
pub const PING_PERIOD_SECS: u64 = 25;

/// A session in which nothing was heard for this long is dead.
pub const SILENCE_SECS_MAX: u64 = 60;
