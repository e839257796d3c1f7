//! Letting an operator set a sign-in account up, from the collector's own machine: for the first
//! operator, and for one who lost everything.

use anyhow::{Context, bail, ensure};
use cordon_proto::id::{ClientId, KeyId, OperatorId};
use cordon_proto::roster::Role;
use ring::rand::{SecureRandom, SystemRandom};

use crate::audit::{Act, Deed};
use crate::clock::Clock;
use crate::config::Config;
use crate::signin::account::{INVITED_SECS_MAX, Invitation};
use crate::signin::name::InvitationId;
use crate::signin::secret::{CODE_BYTES, grouped, hash};
use crate::store::State;
use crate::tenant::{Tenants, View};
use crate::time::Time;

/// Who invites where nobody is signed in.
const MADE_BY: &str = "the collector's machine";

/// How long an invitation is good unless somebody says otherwise: over a night, and a day.
pub const INVITED_SECS: u64 = 48 * 3600;

/// Who may be invited first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum First {
    /// An administrator without an account.
    Operator(OperatorId),
    /// An administrator, and the account is there.
    HasAccount(OperatorId),
    /// The roster names no administrator.
    Nobody,
}

/// The first administrator whom a client's roster names.
pub fn first_administrator(config: &Config, client: &ClientId) -> anyhow::Result<First> {
    let state = State::open(&config.file(&config.state))?;
    let tenants = Tenants::load(&state)?;
    let held = tenants.roster(client);
    let held = held.with_context(|| format!("there is no roster of client {client}"))?;
    let mut operators = held.roster.operators.iter();
    let Some((operator, key)) = operators.find_map(|operator| {
        let administers = operator.roles.contains(&Role::Administrator);
        Some((operator, operator.keys.first()?.id())).filter(|_| administers)
    }) else {
        return Ok(First::Nobody);
    };
    let id = operator.id.clone();
    let has_account = state.account_of(key)?.is_some();
    Ok(if has_account { First::HasAccount(id) } else { First::Operator(id) })
}

/// Whom to invite.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The operator, as a roster names him.
    pub operator: OperatorId,
    /// In this client's roster; needed where rosters give the name to different keys.
    pub client: Option<ClientId>,
    /// How long the invitation is good.
    pub valid_secs: u64,
}

/// Makes an invitation that reaches every client of the operator's key; answers what to tell him. Codes
/// that were made here for him before count no more.
pub fn invite(config: &Config, asked: &Invite, clock: &Clock) -> anyhow::Result<Vec<String>> {
    let valid = 1..=INVITED_SECS_MAX;
    ensure!(
        valid.contains(&asked.valid_secs),
        "an invitation is good for at most {} days",
        INVITED_SECS_MAX / 86_400
    );
    let path = config.file(&config.state);
    ensure!(path.exists(), "this collector is not set up yet; run `cordon-collector init`");
    let state = State::open(&path)?;
    let tenants = Tenants::load(&state)?;
    let key = key_of(&state, &tenants, asked)?;
    let view = tenants.view(key);
    ensure!(!view.is_empty(), "no roster gives operator {} a role", asked.operator);
    let (mut id, mut code) = ([0; 16], [0; CODE_BYTES]);
    let random = SystemRandom::new();
    let filled = random.fill(&mut id).and_then(|()| random.fill(&mut code));
    filled.ok().context("the operating system gave no random numbers")?;
    let made = Time(clock.wall_ns());
    let invitation = Invitation {
        id: InvitationId(id),
        key,
        operator: asked.operator.clone(),
        clients: None,
        made_by: MADE_BY.to_owned(),
        made,
        expires: made.plus_secs(asked.valid_secs),
        draft: None,
    };
    state.record(acts(&view), made.0)?;
    for before in state.invitations(&[key], made)? {
        if before.made_by == MADE_BY {
            state.end_invitation(before.id)?;
        }
    }
    state.add_invitation(hash(&code), &invitation)?;
    Ok(told(&invitation, &view, &grouped(&code)))
}

fn acts(view: &View) -> Vec<Act> {
    let act = |(client, seat): (&ClientId, &crate::tenant::Seat)| Act {
        client: client.clone(),
        who: seat.operator.clone(),
        key: view.key(),
        what: Deed::AccountInvite,
        to: format!("account of {}", seat.operator),
        detail: format!("by {MADE_BY}"),
    };
    view.seats().map(act).collect()
}

fn told(invitation: &Invitation, view: &View, code: &str) -> Vec<String> {
    let clients: Vec<_> = view.clients().iter().map(ToString::to_string).collect();
    vec![
        format!("operator     {}", invitation.operator),
        format!("clients      {}", clients.join(", ")),
        format!("invitation   {code}"),
        format!("good until   {}", until(invitation.expires)),
        format!("set up with  cordon account set-up --invitation --name {}", invitation.operator),
        "             on the operator's own machine, which asks for the code".to_owned(),
    ]
}

/// A moment to the minute, for people.
fn until(time: Time) -> String {
    let text = time.to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", time.get(..5).unwrap_or_default())
}

/// The key that rosters give to a name.
fn key_of(state: &State, tenants: &Tenants, asked: &Invite) -> anyhow::Result<KeyId> {
    let clients = match &asked.client {
        Some(client) => vec![client.clone()],
        None => state.clients()?,
    };
    let mut found: Vec<(ClientId, KeyId)> = Vec::new();
    for client in clients {
        let held = tenants.roster(&client);
        let held = held.with_context(|| format!("there is no roster of client {client}"))?;
        let mut operators = held.roster.operators.iter();
        let operator = operators.find(|operator| operator.id == asked.operator);
        found.extend(operator.and_then(|o| o.keys.first()).map(|key| (client, key.id())));
    }
    let Some((_, key)) = found.first() else {
        bail!("no roster names operator {}", asked.operator);
    };
    if found.iter().any(|(_, other)| other != key) {
        let clients: Vec<_> = found.iter().map(|(client, _)| client.to_string()).collect();
        bail!(
            "the rosters of {} give different keys to operator {}; name one with --client",
            clients.join(", "),
            asked.operator
        );
    }
    Ok(*key)
}
