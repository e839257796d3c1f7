//! Invitations to set an account up, each under the hash of its code.

use cordon_proto::id::{Hash, KeyId};
use rusqlite::{OptionalExtension, Row, params};

use super::account;
use super::session::{clients_from_sql, clients_to_sql};
use super::state::{State, StateError, from_sql, parsed, to_sql};
use crate::signin::account::{Account, Draft, INVITATIONS_PER_KEY_MAX, Invitation};
use crate::signin::name::InvitationId;
use crate::signin::password::PasswordHash;
use crate::time::Time;

const COLUMNS: &str = "SELECT id, key, operator, clients, made_by, made_ns, expires_ns, name,
    password, totp FROM invitation";

impl State {
    /// Keeps a new invitation; forgets those that expired, and the key's oldest beyond its limit.
    pub fn add_invitation(&self, code: Hash, made: &Invitation) -> Result<(), StateError> {
        self.write("keep an invitation", |change| {
            let now = to_sql(made.made.0);
            change.execute("DELETE FROM invitation WHERE expires_ns <= ?1", [now])?;
            let sql = "INSERT INTO invitation (hash, id, key, operator, clients, made_by, made_ns,
                       expires_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let values = params![
                code.0,
                made.id.0,
                made.key.0,
                made.operator.as_str(),
                clients_to_sql(made.clients.as_deref()),
                made.made_by,
                now,
                to_sql(made.expires.0)
            ];
            change.execute(sql, values)?;
            let sql = "DELETE FROM invitation WHERE hash IN (SELECT hash FROM invitation
                       WHERE key = ?1 ORDER BY made_ns DESC, hash LIMIT -1 OFFSET ?2)";
            let kept = i64::try_from(INVITATIONS_PER_KEY_MAX).unwrap_or(i64::MAX);
            change.execute(sql, params![made.key.0, kept]).map(|_| ())
        })
    }

    /// The invitation of a code, if it is still good.
    pub fn invitation(&self, code: Hash, now: Time) -> Result<Option<Invitation>, StateError> {
        let found = self.read("read an invitation", |connection| {
            let sql = format!("{COLUMNS} WHERE hash = ?1");
            connection.prepare_cached(&sql)?.query_row([code.0], read).optional()
        })?;
        Ok(found.filter(|invitation| now < invitation.expires))
    }

    /// The invitations of these keys that are still good, newest first.
    pub fn invitations(&self, keys: &[KeyId], now: Time) -> Result<Vec<Invitation>, StateError> {
        self.read("list invitations", |connection| {
            let sql = format!("{COLUMNS} WHERE key = ?1 ORDER BY made_ns DESC, id");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = Vec::new();
            for key in keys {
                for invitation in statement.query_map([key.0], read)? {
                    found.extend(Some(invitation?).filter(|made| now < made.expires));
                }
            }
            Ok(found)
        })
    }

    /// Keeps what an invited person chose.
    pub fn draft(&self, code: Hash, draft: &Draft) -> Result<(), StateError> {
        self.write("keep what an invited person chose", |change| {
            let sql = "UPDATE invitation SET name = ?2, password = ?3, totp = ?4 WHERE hash = ?1";
            let password = draft.password.to_text();
            let values = params![code.0, draft.name.as_str(), password, draft.totp];
            change.execute(sql, values).map(|_| ())
        })
    }

    /// Makes the account of an invitation, which is then spent, as are all others of the same key;
    /// what the key's account was before goes, with its sessions. Answers false if somebody else was
    /// faster. `step` is the step of the code that was shown: it counts as used.
    pub fn take_invitation(
        &self,
        code: Hash,
        account: &Account,
        codes: &[Hash],
        step: u64,
    ) -> Result<bool, StateError> {
        self.write("set an account up", |change| {
            if change.execute("DELETE FROM invitation WHERE hash = ?1", [code.0])? == 0 {
                return Ok(false);
            }
            change.execute("DELETE FROM invitation WHERE key = ?1", [account.key.0])?;
            account::put(change, account)?;
            account::put_codes(change, account.id, codes)?;
            let sql = "INSERT INTO totp_used VALUES (?1, ?2, ?3)";
            let values = params![account.id.0, to_sql(step), to_sql(account.made.0)];
            change.execute(sql, values)?;
            Ok(true)
        })
    }

    /// Takes an invitation back; answers whether there was one.
    pub fn end_invitation(&self, id: InvitationId) -> Result<bool, StateError> {
        self.write("take an invitation back", |change| {
            Ok(change.execute("DELETE FROM invitation WHERE id = ?1", [id.0])? == 1)
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Invitation> {
    let name: Option<String> = row.get(7)?;
    let password: Option<String> = row.get(8)?;
    let totp: Option<Vec<u8>> = row.get(9)?;
    let draft = match (name, password, totp) {
        (Some(name), Some(password), Some(totp)) => Some(Draft {
            name: parsed(name.parse(), 7)?,
            password: parsed(PasswordHash::from_text(&password), 8)?,
            totp,
        }),
        _ => None,
    };
    Ok(Invitation {
        id: InvitationId(row.get(0)?),
        key: KeyId(row.get(1)?),
        operator: parsed(row.get::<_, String>(2)?.parse(), 2)?,
        clients: clients_from_sql(row.get(3)?, 3)?,
        made_by: row.get(4)?,
        made: Time(from_sql(row.get(5)?)),
        expires: Time(from_sql(row.get(6)?)),
        draft,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signin::name::AccountId;

    fn at(secs: u64) -> Time {
        Time(0).plus_secs(secs)
    }

    fn invitation(number: u8) -> Invitation {
        Invitation {
            id: InvitationId([number; 16]),
            key: KeyId::of(b"ann"),
            operator: "ann".parse().unwrap(),
            clients: Some(vec!["acme".parse().unwrap()]),
            made_by: "bob".to_owned(),
            made: at(number.into()),
            expires: at(100),
            draft: None,
        }
    }

    fn password() -> PasswordHash {
        let zeros = "A".repeat(43);
        let text = format!("$argon2id$v=19$m=32768,t=2,p=1${}${zeros}", "A".repeat(22));
        PasswordHash::from_text(&text).unwrap()
    }

    fn account(id: u8) -> Account {
        Account {
            id: AccountId([id; 16]),
            name: "ann".parse().unwrap(),
            key: KeyId::of(b"ann"),
            clients: None,
            password: password(),
            totp: vec![1],
            made: at(50),
        }
    }

    #[test]
    fn an_invitation_makes_one_account_and_ends_the_others_of_its_key() {
        let state = State::in_memory().unwrap();
        let code = |number: u8| Hash::of(&[number]);
        for number in 1..=10 {
            state.add_invitation(code(number), &invitation(number)).unwrap();
        }
        let key = KeyId::of(b"ann");
        assert_eq!(state.invitations(&[key], at(20)).unwrap().len(), INVITATIONS_PER_KEY_MAX);
        assert_eq!(state.invitation(code(2), at(20)).unwrap(), None, "the oldest go");
        assert_eq!(state.invitation(code(9), at(100)).unwrap(), None, "it expired");
        let draft = Draft { name: "ann".parse().unwrap(), password: password(), totp: vec![7] };
        state.draft(code(9), &draft).unwrap();
        let found = state.invitation(code(9), at(20)).unwrap().unwrap();
        assert_eq!(found, Invitation { draft: Some(draft), ..invitation(9) });
        let codes = [Hash::of(b"1"), Hash::of(b"2")];
        assert!(state.take_invitation(code(9), &account(1), &codes, 3).unwrap());
        assert!(!state.take_invitation(code(10), &account(2), &codes, 3).unwrap());
        assert_eq!(state.account_of(key).unwrap(), Some(account(1)));
        assert_eq!(state.recovery_codes_left(AccountId([1; 16])).unwrap(), 2);
        state.add_invitation(code(11), &invitation(11)).unwrap();
        assert!(state.take_invitation(code(11), &account(2), &[], 4).unwrap());
        assert_eq!(state.account(AccountId([1; 16])).unwrap(), None, "the one before is gone");
        assert_eq!(state.account_named(&"ann".parse().unwrap()).unwrap(), Some(account(2)));
    }

    #[test]
    fn a_code_and_a_recovery_code_count_once_even_when_the_clock_is_set_back() {
        let state = State::in_memory().unwrap();
        state.add_invitation(Hash::of(b"c"), &invitation(1)).unwrap();
        let codes = [Hash::of(b"1")];
        state.take_invitation(Hash::of(b"c"), &account(1), &codes, 1000).unwrap();
        let id = AccountId([1; 16]);
        assert!(!state.use_totp_step(id, 1000, at(60)).unwrap(), "shown when it was set up");
        for step in [1001, 5000, 1002] {
            assert!(state.use_totp_step(id, step, at(step)).unwrap());
            assert!(!state.use_totp_step(id, step, at(step)).unwrap());
        }
        assert!(state.use_recovery_code(id, codes[0]).unwrap());
        assert!(!state.use_recovery_code(id, codes[0]).unwrap());
    }

    #[test]
    fn an_account_knows_where_it_was_signed_in_to_from_for_ninety_days() {
        let state = State::in_memory().unwrap();
        state.add_invitation(Hash::of(b"c"), &invitation(1)).unwrap();
        state.take_invitation(Hash::of(b"c"), &account(1), &[], 1).unwrap();
        let (id, home) = (AccountId([1; 16]), "2001:db8::1".parse().unwrap());
        state.note_network(id, home, at(100)).unwrap();
        let near = "2001:db8::2".parse().unwrap();
        let days = |days: u64| at(100 + days * 86_400);
        assert!(state.knows_network(id, near, days(89)).unwrap());
        assert!(!state.knows_network(id, near, days(90)).unwrap());
        assert!(!state.knows_network(id, "2001:db9::1".parse().unwrap(), days(1)).unwrap());
    }
}
