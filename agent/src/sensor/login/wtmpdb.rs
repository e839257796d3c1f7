//! Reads the logins that pam_wtmpdb keeps in a database, where a distribution has no wtmp any
//! more.
//!
//! Only read, never written: a database that is being written is waited for, for a moment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_proto::Text;
use minicbor::{Decode, Encode};
use rusqlite::{Connection, OpenFlags, params};

/// Of a database that is being written: how long it is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sessions whose ends are waited for.
const OPEN_MAX: usize = 1024;

/// Rows of one round; each may be a beginning and an end.
pub(super) const ROUND_ROWS_MAX: usize = 128;

/// What the table calls a login of somebody.
const TYPE_USER: i64 = 3;

/// Where reading stands: the last row seen, and those without an end until then.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub(super) struct Place {
    #[n(0)]
    last: i64,
    #[n(1)]
    open: BTreeSet<i64>,
}

/// One login.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) user: Text,
    pub(super) login_ns: u64,
    pub(super) logout_ns: Option<u64>,
    pub(super) terminal: Text,
    pub(super) host: Text,
    pub(super) service: Text,
    /// Whether it was seen before without its end.
    pub(super) was_open: bool,
}

/// The database under watch.
#[derive(Debug)]
pub(super) struct Wtmpdb {
    path: PathBuf,
    place: Option<Place>,
}

impl Wtmpdb {
    pub(super) fn new(path: PathBuf, kept: Option<Place>) -> Self {
        Self { path, place: kept }
    }

    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Rows that are new, or that have an end now; and whether there may be more.
    pub(super) fn round(&mut self) -> rusqlite::Result<(Vec<Row>, bool)> {
        if !self.is_there() {
            // One that appears later is read from its beginning.
            self.place.get_or_insert_default();
            return Ok((Vec::new(), false));
        }
        let db = open(&self.path)?;
        let last = db.query_row("SELECT coalesce(max(ID), 0) FROM wtmp", [], |row| row.get(0))?;
        let place = match &mut self.place {
            // What was there before anybody looked is not told; it may end, though.
            None => {
                self.place = Some(Place { last, open: still_open(&db)? });
                return Ok((Vec::new(), false));
            }
            Some(place) => place,
        };
        if last < place.last {
            // Another database has its place.
            *place = Place { last: 0, open: BTreeSet::new() };
        }
        let rows = rows(&db, place)?;
        let has_more = rows.len() >= ROUND_ROWS_MAX;
        for row in &rows {
            place.last = place.last.max(row.id);
            if row.logout_ns.is_some() {
                place.open.remove(&row.id);
            } else if place.open.len() < OPEN_MAX {
                place.open.insert(row.id);
            }
        }
        Ok((rows, has_more))
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    Ok(db)
}

fn still_open(db: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    let sql = "SELECT ID FROM wtmp WHERE Type = ?1 AND Logout IS NULL ORDER BY ID DESC LIMIT ?2";
    let mut statement = db.prepare(sql)?;
    let limit = i64::try_from(OPEN_MAX).unwrap_or(i64::MAX);
    statement.query_map(params![TYPE_USER, limit], |row| row.get(0))?.collect()
}

fn rows(db: &Connection, place: &Place) -> rusqlite::Result<Vec<Row>> {
    let sql = "SELECT ID, CAST(User AS BLOB), Login, Logout, CAST(TTY AS BLOB), \
               CAST(RemoteHost AS BLOB), CAST(Service AS BLOB) FROM wtmp \
               WHERE Type = ?1 AND (ID > ?2 OR (ID >= ?3 AND Logout IS NOT NULL)) ORDER BY ID";
    let mut statement = db.prepare(sql)?;
    let first_open = place.open.first().copied().unwrap_or(i64::MAX);
    let mut found = statement.query(params![TYPE_USER, place.last, first_open])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        let was_open = place.open.contains(&id);
        if id <= place.last && !was_open {
            continue;
        }
        let text =
            |at| row.get::<_, Option<Vec<u8>>>(at).map(|text| text.unwrap_or_default().into());
        let moment = |at| row.get::<_, Option<i64>>(at).map(|moment| moment.map(nanos));
        rows.push(Row {
            id,
            user: text(1)?,
            login_ns: moment(2)?.unwrap_or(0),
            logout_ns: moment(3)?,
            terminal: text(4)?,
            host: text(5)?,
            service: text(6)?,
            was_open,
        });
        if rows.len() >= ROUND_ROWS_MAX {
            break;
        }
    }
    Ok(rows)
}

/// Microseconds as the table has them.
fn nanos(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        db: Connection,
        wtmpdb: Wtmpdb,
    }

    impl Scene {
        /// A database with the table as pam_wtmpdb makes it.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("wtmp.db");
            let db = Connection::open(&path).unwrap();
            db.execute_batch(
                "CREATE TABLE wtmp (ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT NOT NULL, \
                 Login INTEGER, Logout INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT) STRICT",
            )
            .unwrap();
            Self { folder, db, wtmpdb: Wtmpdb::new(path, None) }
        }

        fn login(&self, user: &str, secs: i64) {
            let sql = "INSERT INTO wtmp (Type, User, Login, TTY, RemoteHost, Service) \
                       VALUES (3, ?1, ?2, 'pts/0', '192.0.2.7', 'sshd')";
            self.db.execute(sql, params![user, secs * 1_000_000]).unwrap();
        }

        fn logout(&self, user: &str, secs: i64) {
            let sql = "UPDATE wtmp SET Logout = ?2 WHERE User = ?1";
            self.db.execute(sql, params![user, secs * 1_000_000]).unwrap();
        }

        #[track_caller]
        fn check(&mut self, expected: &str) {
            let (rows, has_more) = self.wtmpdb.round().unwrap();
            assert!(!has_more);
            let shown = rows.iter().map(|row| {
                let secs = |ns: u64| ns / 1_000_000_000;
                let until = row.logout_ns.map_or(String::new(), |ns| secs(ns).to_string());
                let again = if row.was_open { " again" } else { "" };
                format!("{} {}-{until}{again}", row.user.to_lossy(), secs(row.login_ns))
            });
            assert_eq!(shown.collect::<Vec<_>>().join(", "), expected);
        }
    }

    #[test]
    fn logins_are_read_once_and_their_ends_when_they_come() {
        let mut scene = Scene::new();
        scene.login("old", 1);
        scene.check("");
        scene.login("ann", 10);
        scene
            .db
            .execute("INSERT INTO wtmp (Type, User, Login) VALUES (1, 'reboot', 5)", [])
            .unwrap();
        scene.check("ann 10-");
        scene.check("");
        scene.login("bob", 20);
        scene.logout("bob", 25);
        scene.logout("ann", 30);
        scene.check("ann 10-30 again, bob 20-25");
        scene.logout("old", 40);
        scene.check("old 1-40 again");
        scene.check("");
    }

    #[test]
    fn a_restart_reads_on() {
        let mut scene = Scene::new();
        scene.check("");
        scene.login("ann", 10);
        scene.check("ann 10-");
        let path = scene.folder.path().join("wtmp.db");
        scene.wtmpdb = Wtmpdb::new(path, scene.wtmpdb.place().cloned());
        scene.logout("ann", 20);
        scene.login("bob", 30);
        scene.check("ann 10-20 again, bob 30-");
    }

    #[test]
    fn another_database_in_its_place_is_read_from_its_beginning() {
        let mut scene = Scene::new();
        for user in ["a", "b", "c"] {
            scene.login(user, 1);
        }
        scene.check("");
        scene.db.execute("DELETE FROM wtmp", []).unwrap();
        scene.login("new", 9);
        scene.check("new 9-");
    }

    #[test]
    fn a_database_that_appears_later_is_read_from_its_beginning() {
        let mut scene = Scene::new();
        let later = Scene::new();
        scene.wtmpdb = Wtmpdb::new(scene.folder.path().join("later.db"), None);
        scene.check("");
        later.login("ann", 10);
        std::fs::copy(later.folder.path().join("wtmp.db"), scene.folder.path().join("later.db"))
            .unwrap();
        scene.check("ann 10-");
    }

    #[test]
    fn without_a_database_there_is_nothing_and_one_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wtmp.db");
        let mut wtmpdb = Wtmpdb::new(path.clone(), None);
        assert_eq!(wtmpdb.round().unwrap(), (vec![], false));
        std::fs::write(path, "no database").unwrap();
        assert!(wtmpdb.round().is_err());
    }
}
