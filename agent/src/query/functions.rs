//! What SQL may do here: read these tables, with functions that compute and touch nothing.
//!
//! A list of what is allowed, not of what is forbidden: what a newer SQLite brings stays out until
//! somebody has looked at it.

/// Tables of SQLite's own that are made of their argument alone.
const TABLES: [&str; 2] = ["json_each", "json_tree"];

/// Functions by name, in lower case, as SQLite hands them to its authorizer.
#[rustfmt::skip]
const FUNCTIONS: [&str; 100] = [
    // Values.
    "coalesce", "ifnull", "iif", "if", "nullif", "typeof", "likelihood", "likely", "unlikely",
    "sqlite_version",
    // Numbers.
    "abs", "ceil", "ceiling", "floor", "max", "min", "mod", "power", "pow", "random", "round",
    "sign", "sqrt", "trunc",
    // Text and bytes. Whatever they make is bounded by SQLite's limit on the length of a value.
    "char", "concat", "concat_ws", "format", "glob", "hex", "instr", "length", "like", "lower",
    "ltrim", "octet_length", "printf", "quote", "randomblob", "replace", "rtrim", "substr",
    "substring", "trim", "unhex", "unicode", "unistr", "unistr_quote", "upper", "zeroblob",
    // Times.
    "current_date", "current_time", "current_timestamp", "date", "datetime", "julianday",
    "strftime", "time", "timediff", "unixepoch",
    // Over rows.
    "avg", "count", "group_concat", "string_agg", "sum", "total", "median", "percentile",
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile",
    "percent_rank", "rank", "row_number",
    // JSON.
    "->", "->>", "json", "json_array", "json_array_length", "json_error_position", "json_extract",
    "json_group_array", "json_group_object", "json_insert", "json_object", "json_patch",
    "json_pretty", "json_quote", "json_remove", "json_replace", "json_set", "json_type",
    "json_valid", "jsonb", "jsonb_extract",
];

/// Whether a function may be used.
#[must_use]
pub fn may_use(function: &str) -> bool {
    FUNCTIONS.iter().any(|name| name.eq_ignore_ascii_case(function))
}

/// Functions that are called by a name; the others are operators.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.into_iter().filter(|name| name.starts_with(|first: char| first.is_ascii_alphabetic()))
}

/// Whether a table that is none of ours may be read.
#[must_use]
pub fn may_read(table: &str) -> bool {
    TABLES.iter().any(|name| name.eq_ignore_ascii_case(table))
}
