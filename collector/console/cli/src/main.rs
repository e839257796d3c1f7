//! The program `cordon`: reads its arguments, runs one command, and says how it ended.

use std::process::ExitCode;

use cordon::cli::Cli;
use cordon::{command, exit};

fn main() -> ExitCode {
    let cli = Cli::read();
    let ended = command::run(cli);
    ExitCode::from(exit::report(ended).code())
}
