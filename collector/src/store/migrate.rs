//! Brings a state database to this version's schema, one numbered step after another.

use rusqlite::Connection;

use super::state::StateError;

/// The steps, in order; the database remembers how many it has taken.
const STEPS: &[(&str, &str)] = &[
    ("0001_enrolment", include_str!("../../migrations/0001_enrolment.sql")),
    ("0002_people", include_str!("../../migrations/0002_people.sql")),
    ("0003_presence", include_str!("../../migrations/0003_presence.sql")),
    ("0004_way_out", include_str!("../../migrations/0004_way_out.sql")),
    ("0005_reaction", include_str!("../../migrations/0005_reaction.sql")),
    ("0006_estate", include_str!("../../migrations/0006_estate.sql")),
    ("0007_repeat", include_str!("../../migrations/0007_repeat.sql")),
    ("0008_accounts", include_str!("../../migrations/0008_accounts.sql")),
    ("0009_attention", include_str!("../../migrations/0009_attention.sql")),
    ("0010_waiting", include_str!("../../migrations/0010_waiting.sql")),
];

/// Takes the steps that are missing, each whole or not at all.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StateError> {
    let doing = "bring the state database to this version's schema";
    let failed = |cause| StateError::Sql { doing, cause };
    let taken: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if taken > known {
        return Err(StateError::Newer { found: taken, known });
    }
    for (number, (name, sql)) in (1_i64..).zip(STEPS).filter(|(number, _)| *number > taken) {
        let step = connection.transaction().map_err(failed)?;
        step.execute_batch(sql).map_err(failed)?;
        step.pragma_update(None, "user_version", number).map_err(failed)?;
        step.commit().map_err(failed)?;
        if taken > 0 {
            tracing::info!(step = name, "state database brought forward");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_once_and_a_newer_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 999).unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert!(error.to_string().contains("schema 999"), "{error}");
    }

    #[test]
    fn steps_are_numbered_without_holes() {
        for (number, (name, _)) in (1..).zip(STEPS) {
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
        }
    }
}
