//! `cordon signer`: the page where passkeys sign commands, on this machine or for another host.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::exit::Exit;
use crate::file;
use crate::signer::{self, FILES, PORT};

/// What `signer` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon signer                                  # make a passkey, and keep it open for the console
  cordon roster make --client acme --out acme-2.toml --add-passkey \\
  ann=eddsa:2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12@http://localhost:9443
  cordon isolate web-01 --reason 'beacon' --passkey
  cordon signer --out /srv/www/signer            # the same page, to be put on a host of your own

The page shows a command in words before your passkey signs it, and reads its bytes itself: neither
the console nor the collector can have you sign another one than you see. The console opens it by
itself, in a window of its own, and waits for it. On a host of your own it wants HTTPS, a name that
nothing else uses, the header `Content-Security-Policy: frame-ancestors 'none'`, and no
`Cross-Origin-Opener-Policy`, which would cut it off from the console that opened it. A passkey
belongs to one address of the page: another port or host needs passkeys of its own.")]
pub struct Args {
    /// Serve the page at this port of localhost
    #[arg(long, value_name = "PORT", default_value_t = PORT, conflicts_with = "out")]
    port: u16,
    /// Write the page's files into this folder instead of serving them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(context: &mut Context, args: Args) -> anyhow::Result<Exit> {
    match args.out {
        Some(dir) => write(context, &dir),
        None => {
            let origin = signer::origin(args.port);
            context.output.note(&format!("The signing page is at {origin} until Ctrl-C."))?;
            signer::run(args.port).await?;
            Ok(Exit::Done)
        }
    }
}

fn write(context: &mut Context, dir: &Path) -> anyhow::Result<Exit> {
    for page in &FILES {
        file::replace(&dir.join(page.name), page.content.as_bytes(), 0o644)?;
    }
    context.output.note(&format!("Wrote {} files into {}.", FILES.len(), dir.display()))?;
    Ok(Exit::Done)
}
