//! The program `cordon`: reads its arguments, runs one command, and says how it ended.

use std::process::ExitCode;

use clap::Parser;
use cordon::cli::Cli;
use cordon::{command, exit};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = command::run(cli);
    ExitCode::from(exit::report(ended).code())
}
