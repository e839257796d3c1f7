//! `cordon account`: how people sign in to the web console, where no operator's key is at hand.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use cordon_proto::id::{ClientId, OperatorId};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::find_list::{self, time};
use crate::api::Api;
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;
use crate::output::text::plain;
use crate::output::{Cell, Table};
use crate::passphrase;
use crate::summary::event::word;

/// Operators and invitations that are listed.
const LISTED_MAX: usize = 10_000;

/// The longest line that is taken for a code.
const CODE_BYTES_MAX: u64 = 256;

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set your account up, or up anew: a name, a password, an authenticator app
    #[command(after_help = "Examples:
  cordon account set-up
  cordon account set-up --name ann@msp.example
  cordon account set-up --invitation

With your key, nothing else is needed. With --invitation you type the code that an administrator
(`cordon account invite`) or somebody on the collector's machine (`cordon-collector init`, later
`cordon-collector operator invite`) gave you. It then asks for a password, shows the secret for your authenticator app, and asks for the
first code that the app shows. Keep the recovery codes that come last: each lets you in once without
the app. An account that you had before is replaced, with its sessions and tokens.

An account grants nothing by itself: what you may do is what the rosters say of your key.")]
    SetUp {
        /// What to sign in as [default: your name in the roster]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Ask for the code of an invitation instead of signing in with your key
        #[arg(long)]
        invitation: bool,
        /// Read the new password from this file (mode 600) instead of the terminal
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Look at your account
    #[command(after_help = "Examples:
  cordon account show
  cordon account show --json")]
    Show,
    /// Let an operator of a client set an account up
    #[command(after_help = "Examples:
  cordon account invite bob --client acme
  cordon account invite bob --client acme --for 2h

The code is shown once; hand it over as you would a password. The account will reach those of the
operator's clients that you administer, and no other. Somebody who lost the app is invited anew.")]
    Invite {
        /// The operator, as the client's roster names him
        operator: OperatorId,
        /// Whose operator [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
        /// How long the invitation is good; at most 14d
        #[arg(long = "for", value_name = "TIME", default_value = "48h", value_parser = parse_length)]
        valid: Duration,
    },
    /// List a client's operators, and who of them has an account
    #[command(after_help = "Examples:
  cordon account list --client acme
  cordon account list --invitations")]
    List {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
        /// List the invitations that stand instead
        #[arg(long)]
        invitations: bool,
    },
    /// Take an invitation back
    #[command(after_help = "Example:
  cordon account uninvite 5f1c0000000000000000000000000001")]
    Uninvite {
        /// The invitation's id, from `cordon account list --invitations`
        id: String,
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Change your password; your other sessions end
    #[command(after_help = "Examples:
  cordon account password
  cordon account password --password-file new.txt")]
    Password {
        /// Read the new password from this file (mode 600) instead of the terminal
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Change your authenticator app; your other sessions end
    #[command(after_help = "Example:
  cordon account totp")]
    Totp,
    /// Make new recovery codes; those of before are void
    #[command(after_help = "Example:
  cordon account recovery-codes")]
    RecoveryCodes,
    /// Remove your account; you sign in with your key alone
    #[command(after_help = "Example:
  cordon account remove")]
    Remove,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    if let Command::SetUp { name, invitation, password_file } = command {
        return set_up(context, name, invitation, password_file.as_deref()).await;
    }
    let desk = context.own_desk()?;
    let api = desk.api()?;
    match command {
        Command::SetUp { .. } => Ok(Exit::Done),
        Command::Show => show(context, &api).await,
        Command::Invite { operator, client, valid } => {
            let client = desk.client(client.as_ref())?;
            invite(context, &api, &client, &operator, valid).await
        }
        Command::List { client, invitations } => {
            let client = desk.client(client.as_ref())?;
            list(context, &api, &client, invitations).await
        }
        Command::Uninvite { id, client } => {
            let client = desk.client(client.as_ref())?;
            api.delete(&["clients", client.as_str(), "invitations", &id]).await?;
            context.output.note("Taken back; its code opens nothing any more.")?;
            Ok(Exit::Done)
        }
        Command::Password { password_file } => {
            let password = new_password(password_file.as_deref())?;
            let body = json!({ "password": password.as_str() });
            api.put(&["account", "password"], body).await?;
            context.output.note("Changed; your other sessions ended.")?;
            Ok(Exit::Done)
        }
        Command::Totp => totp(context, &api).await,
        Command::RecoveryCodes => {
            let made = api.post(&["account", "recovery-codes"], json!({})).await?;
            show_codes(context, &made)?;
            Ok(Exit::Done)
        }
        Command::Remove => {
            api.delete(&["account"]).await?;
            context.output.note("Removed; its sessions and tokens ended with it.")?;
            Ok(Exit::Done)
        }
    }
}

async fn set_up(
    context: &mut Context,
    name: Option<String>,
    invited: bool,
    password_file: Option<&Path>,
) -> anyhow::Result<Exit> {
    let desk = if invited { context.guest_desk()? } else { context.own_desk()? };
    let api = desk.api()?;
    let (invitation, operator) = if invited {
        (asked(context, "Code of the invitation: ")?, None)
    } else {
        let made = api.post(&["account", "invitation"], json!({})).await?;
        (Zeroizing::new(word(&made, "/code")), Some(word(&made, "/operator")))
    };
    let Some(name) = name.or(operator) else {
        bail!("say with --name what you want to sign in as");
    };
    let password = new_password(password_file)?;
    let body = json!({
        "invitation": invitation.as_str(), "name": name, "password": password.as_str(),
    });
    let shown = api.post_unsigned(&["set-up"], body).await?;
    show_secret(context, &shown)?;
    let code = asked(context, "Code that the app shows: ")?;
    let body = json!({ "invitation": invitation.as_str(), "code": code.as_str() });
    let made = api.post_unsigned(&["set-up", "confirm"], body).await?;
    if !context.output.is_json() {
        let (name, operator) = (word(&made, "/name"), word(&made, "/operator"));
        let says =
            format!("Set up: sign in as {} for operator {}.", plain(&name), plain(&operator));
        context.output.note(&says)?;
    }
    show_codes(context, &made)?;
    Ok(Exit::Done)
}

async fn show(context: &mut Context, api: &Api<'_>) -> anyhow::Result<Exit> {
    let shown = api.get(&["account"], &[]).await?;
    if context.output.is_json() {
        context.output.record(&shown)?;
        return Ok(Exit::Done);
    }
    if shown.pointer("/account").is_none_or(Value::is_null) {
        context.output.note("You have no account; `cordon account set-up` makes one.")?;
        return Ok(Exit::Done);
    }
    let clients = shown.pointer("/account/clients").and_then(Value::as_array);
    let clients = clients.map_or_else(
        || "all that your key has".to_owned(),
        |clients| clients.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
    );
    for (head, value) in [
        ("name", word(&shown, "/account/name")),
        ("clients", clients),
        ("set up", time(&shown, &["/account/made_at"])),
        ("recovery codes left", word(&shown, "/account/recovery_codes_left")),
    ] {
        context.output.line(&format!("{head:<20} {}", plain(&value)))?;
    }
    Ok(Exit::Done)
}

async fn invite(
    context: &mut Context,
    api: &Api<'_>,
    client: &ClientId,
    operator: &OperatorId,
    valid: Duration,
) -> anyhow::Result<Exit> {
    let body = json!({ "operator": operator, "valid_secs": valid.as_secs() });
    let made = api.post(&["clients", client.as_str(), "invitations"], body).await?;
    if context.output.is_json() {
        context.output.record(&made)?;
        return Ok(Exit::Done);
    }
    context.output.line(&plain(&word(&made, "/code")))?;
    context.output.note(&format!(
        "Good for operator {operator} until {}, once. He runs, with a profile of this collector:\n  \
         cordon account set-up --invitation\nTake it back: cordon account uninvite {}",
        plain(&time(&made, &["/expires_at"])),
        plain(&word(&made, "/id"))
    ))?;
    Ok(Exit::Done)
}

async fn list(
    context: &mut Context,
    api: &Api<'_>,
    client: &ClientId,
    invitations: bool,
) -> anyhow::Result<Exit> {
    if invitations {
        let heads = ["ID", "OPERATOR", "INVITED BY", "MADE", "EXPIRES"];
        let mut table = Table::new(&heads).whole(&["ID"]).spare(&["MADE"]);
        let row = |item: &Value| {
            vec![
                Cell::new(word(item, "/id")),
                Cell::new(word(item, "/operator")),
                Cell::new(word(item, "/made_by")),
                Cell::new(time(item, &["/made_at"])),
                Cell::new(time(item, &["/expires_at"])),
            ]
        };
        let path = ["clients", client.as_str(), "invitations"];
        return find_list::show(context, api, &path, &[], LISTED_MAX, &mut table, row).await;
    }
    let mut table = Table::new(&["OPERATOR", "ROLE", "ACCOUNT", "SET UP", "SESSIONS"]);
    let row = |item: &Value| {
        vec![
            Cell::new(word(item, "/operator")),
            Cell::new(word(item, "/role")),
            Cell::new(word(item, "/account")),
            Cell::new(time(item, &["/made_at"])),
            Cell::new(word(item, "/sessions")),
        ]
    };
    let path = ["clients", client.as_str(), "accounts"];
    find_list::show(context, api, &path, &[], LISTED_MAX, &mut table, row).await
}

async fn totp(context: &mut Context, api: &Api<'_>) -> anyhow::Result<Exit> {
    let shown = api.post(&["account", "totp"], json!({})).await?;
    show_secret(context, &shown)?;
    let code = asked(context, "Code that the app shows: ")?;
    let body = json!({ "draft": word(&shown, "/draft"), "code": code.as_str() });
    api.put(&["account", "totp"], body).await?;
    context.output.note("Changed; the secret of before opens nothing any more.")?;
    Ok(Exit::Done)
}

fn show_secret(context: &mut Context, shown: &Value) -> anyhow::Result<()> {
    let (otpauth, secret) = (word(shown, "/otpauth"), word(shown, "/secret"));
    if context.output.is_json() {
        context.output.record(&json!({ "otpauth": otpauth, "secret": secret }))?;
        return Ok(());
    }
    context.output.note("Give this to your authenticator app; it is shown once.")?;
    context.output.line(&plain(&otpauth))?;
    context.output.note(&format!("Or type the secret: {}", plain(&secret)))?;
    Ok(())
}

fn show_codes(context: &mut Context, made: &Value) -> anyhow::Result<()> {
    if context.output.is_json() {
        context.output.record(made)?;
        return Ok(());
    }
    context.output.note("Recovery codes; each lets you in once without the app. Shown once.")?;
    let none = Vec::new();
    let codes = made.get("recovery_codes").and_then(Value::as_array).unwrap_or(&none);
    for code in codes.iter().filter_map(Value::as_str) {
        context.output.line(&plain(code))?;
    }
    Ok(())
}

fn new_password(from: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let password = passphrase::ask_new_called("password", "the account", from)?;
    let text = std::str::from_utf8(password.as_bytes()).context("the password is not UTF-8")?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A line from who is asked, or from a file that stands for him.
fn asked(context: &mut Context, question: &str) -> anyhow::Result<Zeroizing<String>> {
    context.output.note(question)?;
    let mut line = Zeroizing::new(String::new());
    let read = io::Read::take(io::stdin().lock(), CODE_BYTES_MAX).read_line(&mut line);
    read.context("cannot read what was typed")?;
    if line.trim().is_empty() {
        bail!("nothing was typed; nothing was changed");
    }
    Ok(Zeroizing::new(line.trim().to_owned()))
}
