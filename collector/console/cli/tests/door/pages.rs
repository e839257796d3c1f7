//! Every command's help as it is printed, held against what was printed when it was last read.
//!
//! What changed on purpose is written anew with `CORDON_WRITE_PAGES=1 cargo test -p cordon --test door
//! pages`, and read before it is committed.

use clap::CommandFactory;
use cordon::cli::Cli;

use crate::printed;

/// As wide as a terminal that most people have open.
const WIDTH: usize = 104;

fn gather(command: &mut clap::Command, pages: &mut String) {
    let name = command.get_bin_name().unwrap_or("cordon").to_owned();
    let help = command.clone().term_width(WIDTH).render_long_help().to_string();
    pages.push_str(&format!("━━━ {name}\n"));
    for line in help.trim_end().lines() {
        pages.push_str(line.trim_end());
        pages.push('\n');
    }
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        gather(sub, pages);
    }
}

#[test]
fn the_pages_of_help_are_those_that_were_read() {
    let mut pages = String::new();
    let mut command = Cli::command();
    command.build();
    gather(&mut command, &mut pages);
    printed::check("pages.txt", &pages);
}
