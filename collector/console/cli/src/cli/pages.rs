//! Every command's help as it is printed, held against what was printed when it was last read.
//!
//! What changed on purpose is written anew with `CORDON_WRITE_PAGES=1 cargo test -p cordon pages`, and
//! read before it is committed.

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;

/// As wide as a terminal that most people have open.
const WIDTH: usize = 104;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/cli/pages.txt")
}

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
    if std::env::var_os("CORDON_WRITE_PAGES").is_some() {
        std::fs::write(file(), &pages).unwrap();
        return;
    }
    let read = std::fs::read_to_string(file()).unwrap();
    let mut lines = (1..).zip(read.lines().zip(pages.lines()));
    if let Some((number, (read, now))) = lines.find(|(_, (read, now))| read != now) {
        panic!("line {number} of {}:\n was {read:?}\n  is {now:?}", file().display());
    }
    assert_eq!(read.lines().count(), pages.lines().count(), "a page came or went");
}
