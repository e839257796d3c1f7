//! `cargo demo`, `verify`, `lab`, `shots`, `measure`, `pack`: reads the arguments and hands on.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cordon_packaging::arguments::{Arguments, Task, without_literal_dashes};
use cordon_packaging::{demo, measure, pack, probe, say, shots, verify};

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(without_literal_dashes(std::env::args_os()));
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the task; false means that it ran to its end and found something wrong.
fn run(arguments: Arguments) -> Result<bool> {
    match arguments.task {
        Task::Demo(options) => demo::run(&options),
        Task::Verify(options) => verify::run(&options),
        Task::Lab => probe::run(),
        Task::Shots(options) => shots::run(&options),
        Task::Measure(options) => measure::run(&options),
        Task::Pack(options) => pack::run(&options),
    }
}
