//! What may be asked, what may not, and how each limit ends an answer.

use cordon_proto::query::{QueryError, Value, read_chunk};

use super::*;
use crate::platform::sqlite::{Asked, Column, Key, Rows};

/// Numbers from 1 to 5, each with a name.
struct Numbers;

impl Table for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn about(&self) -> &'static str {
        "numbers and their names"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column { name: "number", kind: "INTEGER", about: "", key: Key::No },
            Column { name: "name", kind: "TEXT", about: "", key: Key::No },
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let row = |number| Ok(vec![Value::Integer(number), Value::Text(format!("n{number}"))]);
        Ok(Box::new((1..=5).map(row)))
    }
}

/// Answers with its key, and only when it is given one.
struct Echo;

impl Table for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn about(&self) -> &'static str {
        "what was asked"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] =
            &[Column { name: "word", kind: "TEXT", about: "", key: Key::Pattern }];
        COLUMNS
    }

    fn rows(&self, asked: &[Asked]) -> Result<Rows, String> {
        let asked = asked.first().ok_or("'echo' needs to know which word")?;
        Ok(Box::new(std::iter::once(Ok(vec![asked.value.clone()]))))
    }
}

fn query(sql: &str) -> Query {
    Query { sql: sql.to_owned(), rows_max: 1000, bytes_max: 1 << 20, time_ms_max: 60_000 }
}

/// The columns, the rows, how it ended, and in how many parts.
fn ask(query: &Query) -> (Vec<String>, Vec<Row>, Ended, usize) {
    let (mut columns, mut rows, mut end, mut parts) = (vec![], vec![], None, 0);
    let tables: Vec<Arc<dyn Table>> = vec![Arc::new(Numbers), Arc::new(Echo)];
    let answered = answer(query, tables, &Clock::start(), &mut |frame| {
        match frame {
            Frame::Columns(names) => columns = names,
            Frame::Rows { count, content } => {
                let read = read_chunk(&content).unwrap();
                assert_eq!(u64::try_from(read.len()).unwrap(), count);
                rows.extend(read);
                parts += 1;
            }
            Frame::End(ended) => end = Some(ended),
        }
        Ok(())
    });
    answered.unwrap();
    (columns, rows, end.unwrap(), parts)
}

/// The rows, values with spaces between, rows with bars; or why there are none.
#[track_caller]
fn check(sql: &str, says: &str) {
    let (_, rows, ended, _) = ask(&query(sql));
    let value = |value: &Value| match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
    };
    let row = |row: &Row| row.iter().map(value).collect::<Vec<_>>().join(" ");
    let mut said = rows.iter().map(row).collect::<Vec<_>>().join("|");
    if let Some(QueryError { sentence, offset }) = &ended.error {
        let at = offset.map(|offset| format!("@{offset} ")).unwrap_or_default();
        said = format!("{said}! {at}{sentence}");
    }
    if let Some(limit) = ended.cut {
        said = format!("{said}! cut: {}", limit.name());
    }
    assert_eq!(said, says, "{sql}");
}

/// What was asked for is refused, and the sentence says so.
#[track_caller]
fn refused(sql: &str) {
    let (_, rows, ended, _) = ask(&query(sql));
    assert!(rows.is_empty(), "{sql}: {rows:?}");
    assert!(ended.error.is_some(), "{sql} was not refused: {ended:?}");
}

#[test]
fn tables_are_read_joined_grouped_and_sorted() {
    check("SELECT number FROM numbers WHERE name = 'n3'", "3");
    check("SELECT count(*), max(name) FROM numbers", "5 n5");
    check("SELECT number, NULL, 0.5, x'ff' FROM numbers LIMIT 1", "1 null 0.5 [255]");
    check(
        "SELECT a.number + b.number AS sum FROM numbers a JOIN numbers b USING (name)
         WHERE a.number > 3 ORDER BY sum DESC",
        "10|8",
    );
    check("SELECT number, row_number() OVER (ORDER BY number DESC) FROM numbers LIMIT 1", "5 1");
    check(
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 3) SELECT x FROM c",
        "1|2|3",
    );
    check("SELECT value FROM json_each('[1,2]')", "1|2");
}

#[test]
fn a_key_reaches_its_table_however_the_tables_are_joined() {
    check("SELECT word FROM echo WHERE word = 'a'", "a");
    check("SELECT word FROM echo WHERE word IN ('a', 'b') ORDER BY word", "a|b");
    check("SELECT word FROM echo WHERE word LIKE 'a%'", "a%");
    check("SELECT word FROM echo WHERE word GLOB '*'", "*");
    check("SELECT word FROM echo, numbers WHERE word = name AND number < 3", "n1|n2");
    check("SELECT word FROM numbers JOIN echo ON word = name WHERE number = 4", "n4");
    check("SELECT word FROM echo", "! 'echo' needs to know which word");
}

#[test]
fn mistakes_are_told_with_their_place() {
    check("SELECT nonsense FROM numbers", "! @7 no such column: nonsense");
    check("SELEC 1", "! @0 near \"SELEC\": syntax error");
    let none = "! no such table: procesess; there are: numbers, echo";
    check("SELECT * FROM procesess", none);
    check("", "! a query is one SELECT; this is none");
    check("-- nothing", "! a query is one SELECT; this is none");
    check("SELECT 1; SELECT 2", "! a query is one statement; this is more than one");
}

#[test]
fn nothing_but_reading_is_allowed() {
    for sql in [
        "ATTACH DATABASE '/etc/passwd' AS a",
        "ATTACH DATABASE ':memory:' AS a",
        "DETACH DATABASE main",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE TRIGGER x AFTER INSERT ON numbers BEGIN SELECT 1; END",
        "INSERT INTO numbers VALUES (1, 'a')",
        "UPDATE numbers SET name = 'a'",
        "DELETE FROM numbers",
        "DROP TABLE numbers",
        "PRAGMA writable_schema = 1",
        "PRAGMA hard_heap_limit = 0",
        "PRAGMA temp_store_directory = '/tmp'",
        "PRAGMA database_list",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_hard_heap_limit(1)",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT load_extension('/tmp/x.so', 'init')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT sqlite_compileoption_get(1)",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/x', 'y')",
        "SELECT edit('x')",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM sqlite_schema",
        "VACUUM",
        "VACUUM INTO '/tmp/x.db'",
        "ANALYZE",
        "REINDEX",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "SELECT ?1",
        "SELECT :a",
    ] {
        refused(sql);
    }
}

#[test]
fn what_never_ends_is_ended_by_the_time() {
    for sql in [
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c",
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c) SELECT x FROM c WHERE x < 0",
        "SELECT count(*) FROM numbers a, numbers b, numbers c, numbers d, numbers e, numbers f,
         numbers g, numbers h, numbers i, numbers j, numbers k, numbers l, numbers m, numbers n",
    ] {
        let (_, rows, ended, _) = ask(&Query { time_ms_max: 100, ..query(sql) });
        assert_eq!((rows.len(), ended), (0, Ended::cut(Limit::Time)), "{sql}");
    }
}

#[test]
fn rows_before_a_limit_are_told() {
    let endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c) SELECT x FROM c";
    let (_, rows, ended, _) = ask(&Query { rows_max: 7, ..query(endless) });
    assert_eq!((rows.len(), ended), (7, Ended::cut(Limit::Rows)));
    let (_, rows, ended, _) = ask(&Query { rows_max: 5, ..query("SELECT * FROM numbers") });
    assert_eq!((rows.len(), ended), (5, Ended::default()), "exactly as many is no limit reached");
    let bytes = Query { bytes_max: 1000, rows_max: 100_000, ..query(endless) };
    let (_, rows, ended, _) = ask(&bytes);
    assert_eq!(ended, Ended::cut(Limit::Bytes));
    assert!(rows.len() > 200, "{}", rows.len());
}

#[test]
fn an_answer_of_many_bytes_comes_in_parts_that_fit() {
    let long = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 60)
                SELECT x, zeroblob(10000) FROM c";
    let (columns, rows, ended, parts) = ask(&query(long));
    assert_eq!((rows.len(), ended, parts), (60, Ended::default(), 12));
    assert_eq!(columns, ["x", "zeroblob(10000)"]);
    let (_, rows, ended, _) = ask(&query("SELECT 1 UNION ALL SELECT zeroblob(600000)"));
    assert_eq!((rows.len(), ended), (1, Ended::cut(Limit::Bytes)), "a row larger than a part");
}

#[test]
fn a_value_has_a_largest_length() {
    check("SELECT zeroblob(2000000)", "! a value would be longer than 1 MiB");
    check("SELECT length(printf('%.*c', 2000000, 'x'))", "! a value would be longer than 1 MiB");
}

#[test]
fn a_statement_has_a_largest_shape() {
    refused(&format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)));
    refused(&vec!["SELECT 1"; 100].join(" UNION ALL "));
    refused(&format!("SELECT {}", vec!["1"; 300].join(",")));
    refused(&format!("SELECT 1 --{}", "x".repeat(20_000)));
    check("SELECT 'x' || cast(x'ff' AS TEXT) IS NOT NULL, cast(x'ff' AS TEXT)", "1 [255]");
}
