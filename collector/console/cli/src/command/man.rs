//! `cordon man`: the manual's pages, made from the same words as the help.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::context::Context;
use crate::exit::Exit;

/// What `man` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon man > cordon.1
  cordon man --out ~/.local/share/man/man1     # a page for every command
  man cordon-endpoint-list")]
pub struct Args {
    /// Write a page for every command into this folder, over those that are there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &Args) -> anyhow::Result<Exit> {
    let pages = pages()?;
    let Some(dir) = &args.out else {
        let first = pages.first().map(|(_, page)| page.as_slice()).unwrap_or_default();
        context.output.bytes(first)?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    for (name, page) in &pages {
        let path = dir.join(format!("{name}.1"));
        std::fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
    }
    let count = pages.len();
    context.output.note(&format!("Wrote {count} pages into {}.", dir.display()))?;
    Ok(Exit::Done)
}

/// Every page with its name, `cordon` itself first.
fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    gather(&command, "cordon", &mut pages)?;
    Ok(pages)
}

fn gather(
    command: &clap::Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> anyhow::Result<()> {
    let mut page = Vec::new();
    Man::new(command.clone()).title(name).render(&mut page)?;
    pages.push((name.to_owned(), page));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        gather(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_name_and_examples() {
        let pages = pages().unwrap();
        let find = |name: &str| {
            let page = pages.iter().find(|(known, _)| known == name).map(|(_, page)| page);
            String::from_utf8(page.unwrap_or_else(|| panic!("no page {name}")).clone())
                .unwrap()
                .replace("\\-", "-")
        };
        assert_eq!(pages[0].0, "cordon");
        assert!(pages.len() > 50, "{}", pages.len());
        let list = find("cordon-endpoint-list");
        assert!(list.contains("cordon-endpoint-list"), "{list}");
        assert!(list.contains("cordon endpoint list") && list.contains("--sort"), "{list}");
        assert!(find("cordon").contains("exit-codes"), "the first page names the exit codes");
    }
}
