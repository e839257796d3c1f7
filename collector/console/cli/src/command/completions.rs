//! `cordon completions`: what a shell needs to complete our words.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::Exit;

/// What `completions` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon completions bash > ~/.local/share/bash-completion/completions/cordon
  cordon completions zsh > ~/.zfunc/_cordon
  cordon completions fish > ~/.config/fish/completions/cordon.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cordon", &mut script);
    context.output.bytes(&script)?;
    Ok(Exit::Done)
}
