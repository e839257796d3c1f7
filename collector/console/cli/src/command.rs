//! What the program can do: one command a file, and the list of them.

pub mod account;
pub mod act;
pub mod api_token;
pub mod audit;
pub mod authority;
pub mod break_glass;
pub mod client;
pub mod collection;
pub mod collector;
pub mod commands;
pub mod completions;
pub mod containment;
pub mod endpoint;
pub mod events;
pub mod export;
pub mod find;
mod find_list;
pub mod man;
pub mod operator;
pub mod policy;
pub mod profile;
pub mod query;
pub mod roster;
pub mod session;
pub mod signer;
pub mod site;
pub mod token;
pub mod verify;
pub mod wait;

use anyhow::Context as _;
use zeroize::Zeroizing;

use crate::cli::{Cli, Command};
use crate::context::{self, Context};
use crate::exit::{self, Exit};
use crate::output::Output;

/// Runs one command to its end.
pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    let output = Output::to_terminal(cli.global.json);
    run_telling(cli, output, context::token_of_environment())
}

/// Runs one command to its end, with its results told elsewhere than to the terminal.
pub fn run_telling(
    cli: Cli,
    output: Output,
    token: Option<Zeroizing<String>>,
) -> anyhow::Result<Exit> {
    let global = cli.global;
    let config_dir = match global.config_dir {
        Some(dir) => dir,
        None => context::default_config_dir()?,
    };
    let mut context = Context {
        output,
        config_dir,
        profile: global.profile,
        passphrase_file: global.passphrase_file,
        token,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(dispatch(&mut context, cli.command))
}

async fn dispatch(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Authority(command) => authority::run(context, &command),
        Command::Operator(command) => operator::run(context, command).await,
        Command::Profile(command) => profile::run(context, command),
        Command::Roster(command) => roster::run(context, command).await,
        Command::Token(command) => token::run(context, command).await,
        Command::Account(command) => account::run(context, command).await,
        Command::Session(command) => session::run(context, command).await,
        Command::Signer(args) => signer::run(context, args).await,
        Command::ApiToken(command) => api_token::run(context, command).await,
        Command::Client(command) => client::run(context, &command).await,
        Command::Site(command) => site::run(context, command).await,
        Command::Endpoint(command) => endpoint::run(context, command).await,
        Command::Events(args) => events::run(context, args).await,
        Command::Isolate(args) => act::isolate(context, args).await,
        Command::Release(args) => act::release(context, args).await,
        Command::BreakGlass(args) => break_glass::run(context, args).await,
        Command::Kill(args) => act::kill(context, args).await,
        Command::Suspend(args) => act::suspend(context, args).await,
        Command::Resume(args) => act::resume(context, args).await,
        Command::Quarantine(args) => act::quarantine(context, args).await,
        Command::Restore(args) => act::restore(context, args).await,
        Command::Deny(args) => act::deny(context, args).await,
        Command::Allow(args) => act::allow(context, args).await,
        Command::Undo(args) => act::undo(context, args).await,
        Command::Block(args) => act::block(context, args).await,
        Command::Unblock(args) => act::unblock(context, args).await,
        Command::Segment(args) => act::segment(context, args).await,
        Command::Lateral(args) => act::lateral(context, args).await,
        Command::Lock(args) => act::lock(context, args).await,
        Command::Unlock(args) => act::unlock(context, args).await,
        Command::Service(command) => act::service::run(context, command).await,
        Command::Storage(command) => act::storage::run(context, command).await,
        Command::Collect(args) => act::collect(context, args).await,
        Command::Collection(command) => collection::run(context, command).await,
        Command::Query(args) => query::run(context, args).await,
        Command::Command(command) => commands::run(context, command).await,
        Command::Containment(command) => containment::run(context, command).await,
        Command::Policy(command) => policy::run(context, command).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Verify(args) => verify::run(context, &args),
        Command::Audit(command) => audit::run(context, command).await,
        Command::Collector(command) => collector::run(context, &command).await,
        Command::Man(args) => man::run(context, &args),
        Command::Completions(args) => completions::run(context, &args),
        Command::ExitCodes => {
            context.output.line(exit::TABLE)?;
            Ok(Exit::Done)
        }
    }
}
