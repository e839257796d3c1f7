//! rsyslog from Debian's package: reads one large file (imfile) and writes what it read (omfile).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::packages::Unpacked;
use cordon_packaging::process::Process;

const PACKAGES: [&str; 4] = ["rsyslog", "libestr0", "libfastjson4", "liblognorm5"];

/// Where rsyslog's modules lie in its package.
const MODULES: &str = "usr/lib/x86_64-linux-gnu/rsyslog";

const DONE_MAX: Duration = Duration::from_secs(600);

/// From when the file is there until every byte of it has been written.
pub(crate) fn measure(big: &Path, folder: &Path) -> Result<Duration> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    let peer = Unpacked::fetch(&cache.join("rsyslogd"), &PACKAGES)?;
    std::fs::create_dir_all(folder)?;
    let (input, output) = (folder.join("in.log"), folder.join("out.log"));
    let settings = format!(
        "global(workDirectory={folder:?} maxMessageSize=\"64k\")\n\
         module(load=\"imfile\" mode=\"inotify\")\n\
         template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
         input(type=\"imfile\" File={input:?} Tag=\"one:\")\n\
         action(type=\"omfile\" file={output:?} template=\"raw\" ioBufferSize=\"256k\" \
         flushOnTXEnd=\"off\" asyncWriting=\"on\" flushInterval=\"1\")\n",
    );
    let config = folder.join("rsyslog.conf");
    std::fs::write(&config, settings)?;
    let mut command = peer.command("usr/sbin/rsyslogd");
    command.arg("-n").arg("-f").arg(&config).arg("-i").arg(folder.join("pid"));
    command.arg("-M").arg(peer.path(MODULES));
    let process = Process::start("rsyslogd", &mut command)?;
    let up = wait_until(Duration::from_secs(10), || {
        anyhow::Ok(folder.join("pid").exists().then_some(()))
    })?;
    up.context("rsyslogd does not come up")?;
    let size = std::fs::metadata(big)?.len();
    let watch = Stopwatch::start();
    std::fs::hard_link(big, &input)?;
    let done = wait_until(DONE_MAX, || {
        let written = std::fs::metadata(&output).map_or(0, |metadata| metadata.len());
        anyhow::Ok((written >= size).then(|| watch.elapsed()))
    })?;
    process.stop()?;
    let same = std::fs::metadata(&output).map_or(0, |metadata| metadata.len());
    ensure!(done.is_some() && same == size, "it wrote {same} of {size} bytes");
    std::fs::remove_dir_all(folder)?;
    done.context("it did not end")
}
