//! Who may command the endpoint, what they sign, and what others sign in their place.

use cordon_agent::guard::{Accepted, Own};
use cordon_agent::roster_keeper::Held;
use cordon_proto::command::ActionKind;
use cordon_proto::command::{
    Action, AtEnd, Command, IfUnproved, Isolate, LockAccount, Nonce, Target,
};
use cordon_proto::id::{CommandId, EndpointId, Hash};
use cordon_proto::limits::NONCE_AGE_SECS_DEFAULT;
use cordon_proto::roster::{Ceilings, Grant, Operator, OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::command::SignedCommand;

use super::event::{Forgery, Order};

const HOST_NAME: &str = "web-01";
/// The roster's ceiling.
const LEASE_SECS_MAX: u64 = 2 * 86_400;
/// A nonce this old is too old whatever the endpoint lost of its time.
const OLD_SECS: u64 = 30 * 86_400;

/// A nonce as the collector got it, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    pub(super) nonce: Nonce,
    pub(super) true_secs: u64,
    pub(super) boot: u64,
}

/// Something on its way to the endpoint.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) command: Command,
    /// Why nobody may obey it; nothing where it is right in every way.
    pub(super) forgery: Option<Forgery>,
    pub(super) published: Published,
}

pub(super) struct Operators {
    ann: SigningKey,
    eve: SigningKey,
    stranger: SigningKey,
    held: Held,
    endpoint: EndpointId,
    commands: u128,
    /// What was locked, the latest last.
    locks: Vec<CommandId>,
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&cordon_proto::sign::sha256(name.as_bytes())).unwrap()
}

fn operator(name: &str, key: &SigningKey, role: Role) -> Operator {
    let keys = vec![OperatorKey::File(key.verifying())];
    Operator { id: name.parse().unwrap(), keys, roles: vec![role], sealing: None }
}

impl Operators {
    pub(super) fn new() -> Self {
        let (ann, eve, stranger) = (key("ann"), key("eve"), key("stranger"));
        let kinds = [
            ActionKind::Isolate,
            ActionKind::Release,
            ActionKind::LockAccount,
            ActionKind::Undo,
            ActionKind::ReleaseAll,
        ];
        let grant = |action| Grant { action, role: Role::Responder, approvals: 1, targets_max: 1 };
        let roster = Roster {
            client: "acme".parse().unwrap(),
            version: 7,
            made_ns: 0,
            operators: vec![
                operator("ann", &ann, Role::Responder),
                operator("eve", &eve, Role::Viewer),
            ],
            grants: kinds.into_iter().map(grant).collect(),
            ceilings: Ceilings {
                lease_secs_max: LEASE_SECS_MAX,
                exemptions_max: 0,
                policy_min: 0,
                autonomy: None,
            },
            ca_pins: vec![],
            collectors: vec![],
        };
        let reference = RosterRef { version: 7, hash: Hash::of(b"roster") };
        let held = Held { roster, reference, bytes: vec![] };
        let endpoint = EndpointId::of(b"endpoint");
        Self { ann, eve, stranger, held, endpoint, commands: 0, locks: Vec::new() }
    }

    /// What the endpoint knows when it judges.
    pub(super) fn own<'a>(
        &'a self,
        endpoint_secs: u64,
        stale: &'a dyn Fn(&Nonce, u64, bool) -> Option<String>,
        accepted: &'a Accepted,
    ) -> Own<'a> {
        Own {
            endpoint: self.endpoint,
            host_name: HOST_NAME,
            client: &self.held.roster.client,
            roster: &self.held,
            policy: None,
            endpoint_secs,
            stale,
            accepted,
        }
    }

    /// What an operator signs who sees this nonce.
    pub(super) fn sign(&mut self, order: Order, published: Published) -> Message {
        let command = self.command(order, published.nonce);
        if matches!(order, Order::Lock { .. }) {
            self.locks.push(command.id);
        }
        let bytes = SignedCommand::sign(command.clone(), &self.ann).to_bytes();
        Message { bytes, command, forgery: None, published }
    }

    pub(super) fn forge(&mut self, how: Forgery, order: Order, published: Published) -> Message {
        let mut command = self.command(order, published.nonce);
        let mut key = &self.ann;
        match how {
            Forgery::Stranger => key = &self.stranger,
            Forgery::Viewer => key = &self.eve,
            Forgery::Bit(_) => {}
            Forgery::OtherEndpoint => command.targets[0].endpoint = EndpointId::of(b"other"),
            Forgery::OtherName => command.targets[0].host_name = "web-02".to_owned(),
            Forgery::MadeNonce => command.targets[0].nonce.mac[3] ^= 1,
            Forgery::OldNonce => {
                let nonce = &mut command.targets[0].nonce;
                // Its maker is the attacker, who does not know the secret either.
                nonce.endpoint_secs = nonce.endpoint_secs.wrapping_sub(OLD_SECS);
            }
            Forgery::LongLease => {
                let lease_secs = LEASE_SECS_MAX + 1;
                command.action = Action::Isolate(Isolate { lease_secs, ..Isolate::default() });
            }
        }
        let mut bytes = SignedCommand::sign(command.clone(), key).to_bytes();
        if let Forgery::Bit(at) = how {
            let at = at % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
        }
        Message { bytes, command, forgery: Some(how), published }
    }

    fn command(&mut self, order: Order, nonce: Nonce) -> Command {
        self.commands += 1;
        let action = match order {
            Order::Isolate { lease_secs, stay, let_go, accept_loss } => Action::Isolate(Isolate {
                lease_secs,
                if_unproved: if let_go { IfUnproved::Release } else { IfUnproved::Hold },
                at_end: if stay { AtEnd::Stay } else { AtEnd::LetBack },
                accept_loss,
            }),
            Order::Release => Action::Release,
            Order::Lock { subject, lease_secs } => Action::LockAccount(LockAccount {
                user: subject.to_string(),
                end_sessions: false,
                lease_secs,
            }),
            Order::Undo(back) => {
                let of = self.locks.iter().rev().nth(back).copied();
                Action::Undo { of: of.unwrap_or(CommandId(uuid::Uuid::from_u128(0))) }
            }
            Order::ReleaseAll => Action::ReleaseAll,
        };
        let host_name = HOST_NAME.to_owned();
        Command {
            id: CommandId(uuid::Uuid::from_u128(self.commands)),
            client: "acme".parse().unwrap(),
            targets: vec![Target { endpoint: self.endpoint, host_name, nonce }],
            action,
            age_max_secs: NONCE_AGE_SECS_DEFAULT,
            // Every other one may wait for an endpoint that is switched off.
            queued: self.commands.is_multiple_of(2),
            roster_min: self.held.reference,
            reason: "test".to_owned(),
            incident: None,
            snapshot: None,
        }
    }
}
