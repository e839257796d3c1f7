//! The attacks: each a command that must be refused, with the check that it must fail.

use anyhow::Result;
use cordon_packaging::fleet::{CLIENT, Fleet};
use cordon_proto::codec;
use cordon_proto::command::{Action, Collect, Command, Isolate, Nonce, Target};
use cordon_proto::event::receipt::Check;
use cordon_proto::id::{CommandId, EndpointId, Hash};
use cordon_proto::query::Query;
use cordon_proto::roster::{Operator, OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::document::{self, Kind};
use coset::{CborSerializable, CoseSign};

use crate::passkey::Passkey;
use crate::scene::{DB, WEB, first_roster, key, sign_roster};

/// The ceiling that the authority sets; commands' own limit is higher.
pub(super) const LEASE_SECS_MAX: u64 = 3600;

/// Where carol's signing page is; nothing is served there.
const SIGNER_PORT: u16 = 9443;

/// One attempt.
pub(super) struct Attack {
    pub(super) what: String,
    /// Sent before the command.
    pub(super) rosters: Vec<Vec<u8>>,
    pub(super) command: Vec<u8>,
    pub(super) check: Check,
}

/// Makes commands, honest and other.
pub(super) struct Forge {
    pub(super) ann: SigningKey,
    bob: SigningKey,
    /// May sign with ann what takes two.
    pub(super) carol: SigningKey,
    pub(super) viewer: SigningKey,
    mallory: SigningKey,
    /// Carol's second key.
    pub(super) passkey: Passkey,
    /// Nobody's.
    pub(super) stranger: Passkey,
    pub(super) web: Target,
    pub(super) db: Target,
    /// What commands assume.
    roster_min: RosterRef,
    /// The first roster, and what it says.
    first: Vec<u8>,
    pub(super) roster: Roster,
    /// The authority's later ones, in order.
    pub(super) rosters: Vec<Vec<u8>>,
    /// The last of them.
    pub(super) held: RosterRef,
    /// Under the authority's key, and another client's.
    other_client: Vec<u8>,
}

impl Forge {
    pub(super) fn new(
        fleet: &Fleet,
        web: (EndpointId, Nonce),
        db: (EndpointId, Nonce),
    ) -> Result<Self> {
        let (roster, roster_min, first) = first_roster(fleet)?;
        let (viewer, carol) = (SigningKey::generate()?, SigningKey::generate()?);
        let mut second = roster.clone();
        second.version = 2;
        second.ceilings.lease_secs_max = LEASE_SECS_MAX;
        second.operators.push(operator("vic", &viewer, &[Role::Viewer])?);
        let both = [Role::Responder, Role::Administrator];
        let (passkey, stranger) = (Passkey::at(SIGNER_PORT)?, Passkey::at(SIGNER_PORT)?);
        let mut of_carol = operator("carol", &carol, &both)?;
        of_carol.keys.push(passkey.rostered());
        second.operators.push(of_carol);
        let mut third = second.clone();
        third.version = 3;
        third.operators.retain(|operator| operator.id.as_str() != "bob");
        let mut other = third.clone();
        other.version = 9;
        other.client = "other".parse()?;
        let mallory = SigningKey::generate()?;
        other.operators.push(operator("mallory", &mallory, &[Role::Responder])?);
        let last = sign_roster(fleet, &third)?;
        let target =
            |name: &str, (endpoint, nonce)| Target { endpoint, host_name: name.to_owned(), nonce };
        Ok(Self {
            ann: key(fleet, "operator-ann")?,
            bob: key(fleet, "operator-bob")?,
            carol,
            viewer,
            mallory,
            passkey,
            stranger,
            web: target(WEB, web),
            db: target(DB, db),
            roster_min,
            first,
            roster: third,
            held: RosterRef { version: 3, hash: Hash::of(&last) },
            rosters: vec![sign_roster(fleet, &second)?, last],
            other_client: sign_roster(fleet, &other)?,
        })
    }

    pub(super) fn with_nonce(self, nonce: Nonce) -> Self {
        Self { web: Target { nonce, ..self.web }, ..self }
    }

    pub(super) fn isolate(&self) -> SignedCommand {
        SignedCommand::sign(self.command(), &self.ann)
    }

    pub(super) fn release(&self) -> SignedCommand {
        SignedCommand::sign(Command { action: Action::Release, ..self.command() }, &self.ann)
    }

    /// A command that ann may give.
    pub(super) fn command(&self) -> Command {
        Command {
            id: CommandId(uuid::Uuid::now_v7()),
            client: self.roster.client.clone(),
            targets: vec![self.web.clone()],
            action: Action::Isolate(Isolate { lease_secs: 600, ..Isolate::default() }),
            age_max_secs: 900,
            queued: false,
            roster_min: self.roster_min,
            reason: "e2e".to_owned(),
            incident: None,
            snapshot: None,
        }
    }

    pub(super) fn by(&self, key: &SigningKey, change: impl FnOnce(&mut Command)) -> Vec<u8> {
        let mut command = self.command();
        change(&mut command);
        SignedCommand::sign(command, key).to_bytes()
    }

    /// `obeyed` was obeyed before.
    pub(super) fn attacks(&self, obeyed: &[u8]) -> Result<Vec<Attack>> {
        let mut attacks = vec![
            attack("bytes that are no command", Check::Form, b"isolate yourself".to_vec()),
            attack("a command without a signature", Check::Form, self.unsigned()?),
            attack("the same command a second time", Check::Replay, obeyed.to_vec()),
        ];
        attacks.extend(self.misdirected());
        attacks.extend(self.altered()?);
        attacks.extend(self.wrong_signers());
        attacks.extend(self.stale());
        attacks.extend(self.wrong_rosters()?);
        attacks.extend(self.with_passkeys()?);
        attacks.extend(self.of_every_kind()?);
        attacks.push(attack(
            "a lease over the roster's ceiling",
            Check::Parameters,
            self.by(&self.ann, |c| c.action = isolate_for(LEASE_SECS_MAX + 1)),
        ));
        Ok(attacks)
    }

    fn misdirected(&self) -> Vec<Attack> {
        let db = self.db.clone();
        vec![
            attack(
                "a command for another endpoint",
                Check::Target,
                self.by(&self.ann, |c| c.targets = vec![db]),
            ),
            attack(
                "the right endpoint under another's name",
                Check::Target,
                self.by(&self.ann, |c| c.targets[0].host_name = DB.to_owned()),
            ),
            attack(
                "a command of another client",
                Check::Client,
                self.by(&self.ann, |c| {
                    if let Ok(client) = "other".parse() {
                        c.client = client;
                    }
                }),
            ),
        ]
    }

    /// Each field changed after ann signed; what she signed would not have been refused for its
    /// signature.
    fn altered(&self) -> Result<Vec<Attack>> {
        type Change = fn(&mut Command);
        let changes: [(&'static str, Change); 7] = [
            ("its id", |c| c.id = CommandId(uuid::Uuid::now_v7())),
            ("its action: a release made an isolation", |c| c.action = isolate_for(600)),
            ("its age", |c| c.age_max_secs = 899),
            ("its being queued", |c| c.queued = true),
            ("its roster", |c| c.roster_min = RosterRef::default()),
            ("its reason", |c| c.reason = "another".to_owned()),
            ("its incident", |c| c.incident = Some("another".to_owned())),
        ];
        let honest = Command { action: Action::Release, ..self.command() };
        let mut attacks = Vec::new();
        for (what, change) in changes {
            let mut changed = honest.clone();
            change(&mut changed);
            attacks.push(attack(what, Check::Signature, self.swapped(honest.clone(), &changed)?));
        }
        let asked = Command { action: query(), ..self.command() };
        let mut other = asked.clone();
        if let Action::Query(query) = &mut other.action {
            "SELECT * FROM hashes WHERE directory = '/root'".clone_into(&mut query.sql);
        }
        let bytes = self.swapped(asked, &other)?;
        attacks.push(attack("its question", Check::Signature, bytes));
        let elsewhere = Command { targets: vec![self.db.clone()], ..self.command() };
        let here = Command { targets: vec![self.web.clone()], ..elsewhere.clone() };
        let bytes = self.swapped(elsewhere, &here)?;
        attacks.push(attack("its target", Check::Signature, bytes));
        let other = Command { client: "other".parse()?, ..self.command() };
        let ours = Command { client: CLIENT.parse()?, ..other.clone() };
        attacks.push(attack("its client", Check::Signature, self.swapped(other, &ours)?));
        Ok(attacks)
    }

    fn wrong_signers(&self) -> Vec<Attack> {
        let six: Vec<_> = (0..6).map(|number| self.numbered(number)).collect();
        let mut twice =
            SignedCommand::sign(Command { targets: six.clone(), ..self.command() }, &self.ann);
        twice.add(&self.ann);
        let mut half = self.isolate();
        half.add(&self.mallory);
        let policy = self.policy();
        vec![
            attack("an unknown key", Check::Signature, self.by(&self.mallory, |_| {})),
            attack("an unknown key beside a good one", Check::Signature, half.to_bytes()),
            attack("an operator who was removed", Check::Signature, self.by(&self.bob, |_| {})),
            attack("a viewer", Check::Role, self.by(&self.viewer, |_| {})),
            attack(
                "one person where two must sign",
                Check::Approvals,
                self.by(&self.ann, |c| c.action = Action::SetPolicy(policy)),
            ),
            attack(
                "six endpoints by one person",
                Check::Approvals,
                self.by(&self.ann, |c| c.targets = six),
            ),
            attack("one person twice", Check::Approvals, twice.to_bytes()),
        ]
    }

    /// The endpoint itself, and some that nobody has.
    pub(super) fn numbered(&self, number: u8) -> Target {
        if number == 0 {
            return self.web.clone();
        }
        Target { endpoint: EndpointId::of(&[number]), ..self.web.clone() }
    }

    fn stale(&self) -> Vec<Attack> {
        let (own, other) = (self.web.nonce, self.db.nonce);
        let with = |nonce: Nonce| self.by(&self.ann, |c| c.targets[0].nonce = nonce);
        vec![
            // It was published longer ago than that: the control came in between.
            attack("a nonce too old", Check::Freshness, self.by(&self.ann, |c| c.age_max_secs = 1)),
            attack(
                "a question with a nonce too old",
                Check::Freshness,
                self.by(&self.ann, |c| (c.action, c.age_max_secs) = (query(), 1)),
            ),
            attack("a nonce of another endpoint", Check::Freshness, with(other)),
            attack("a forged nonce", Check::Freshness, with(Nonce { mac: [7; 16], ..own })),
            attack(
                "a nonce made younger",
                Check::Freshness,
                with(Nonce { endpoint_secs: own.endpoint_secs + 1, ..own }),
            ),
        ]
    }

    /// Rosters that must not be taken: whoever they let in is still nobody.
    fn wrong_rosters(&self) -> Result<Vec<Attack>> {
        let mut forged = self.roster.clone();
        forged.version = 9;
        forged.operators.push(operator("mallory", &self.mallory, &[Role::Responder])?);
        let forged = document::sign(Kind::Roster, &forged, b"", &self.mallory);
        let garbage = b"a roster".to_vec();
        let by_bob = self.by(&self.bob, |_| {});
        let by_mallory = || self.by(&self.mallory, |_| {});
        let after = |what: &str, roster: &[u8], command| {
            let rosters = vec![roster.to_vec()];
            Attack { rosters, ..attack(what, Check::Signature, command) }
        };
        Ok(vec![
            after("an older roster, and who was in it", &self.first, by_bob),
            after("a roster under another key, and who is in it", &forged, by_mallory()),
            after("another client's roster, and who is in it", &self.other_client, by_mallory()),
            after("a roster that is none", &garbage, by_mallory()),
            attack(
                "a command that assumes a newer roster",
                Check::Roster,
                self.by(&self.ann, |c| c.roster_min.version = 99),
            ),
        ])
    }

    fn unsigned(&self) -> Result<Vec<u8>> {
        let mut message = parts(self.isolate())?;
        message.signatures.clear();
        message.to_vec().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// What ann signed, with other content in its place.
    pub(super) fn swapped(&self, signed: Command, content: &Command) -> Result<Vec<u8>> {
        let mut message = parts(SignedCommand::sign(signed, &self.ann))?;
        let before = message.payload.replace(codec::encode(content));
        let content = message.payload.as_ref();
        anyhow::ensure!(before.as_ref() != content, "nothing was changed: the attack is none");
        message.to_vec().map_err(|error| anyhow::anyhow!("{error}"))
    }
}

pub(super) fn attack(what: impl Into<String>, check: Check, command: Vec<u8>) -> Attack {
    Attack { what: what.into(), rosters: Vec::new(), command, check }
}

pub(super) fn query() -> Action {
    let sql = "SELECT * FROM users".to_owned();
    Action::Query(Query { sql, rows_max: 10, bytes_max: 1000, time_ms_max: 1000 })
}

pub(super) fn collect() -> Action {
    Action::Collect(Collect {
        sources: vec![],
        globs: vec!["/etc/shadow".into()],
        bytes_max: 1 << 20,
        unsealed: None,
    })
}

fn isolate_for(lease_secs: u64) -> Action {
    Action::Isolate(Isolate { lease_secs, ..Isolate::default() })
}

fn parts(signed: SignedCommand) -> Result<CoseSign> {
    CoseSign::from_slice(&signed.to_bytes()).map_err(|error| anyhow::anyhow!("{error}"))
}

fn operator(name: &str, key: &SigningKey, roles: &[Role]) -> Result<Operator> {
    let keys = vec![OperatorKey::File(key.verifying())];
    Ok(Operator { id: name.parse()?, keys, roles: roles.to_vec(), sealing: None })
}
