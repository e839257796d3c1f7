//! Collected evidence: made at the endpoint, cut off half-way, delivered all the same, and verified
//! down to the bytes of the files that it was made of.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::{CLIENT, Fleet};
use cordon_proto::id::Hash;
use serde_json::Value;

use crate::scene::{PATIENCE, WEB, await_some, cordon, fleet_of_one};

/// Enough that a collector can be stopped in the middle: hundreds of pieces.
const BYTES: u64 = 48 << 20;

/// Exit codes of `cordon`: see `cordon exit-codes`.
const DONE: Option<i32> = Some(0);
const DOES_NOT_HOLD: Option<i32> = Some(14);

pub(crate) fn brought() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let evidence = fleet.folder().join("evidence");
    fs::create_dir_all(evidence.join("deep"))?;
    let mut random = vec![0; usize::try_from(BYTES)?];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    fs::write(evidence.join("deep/large.bin"), &random)?;
    fs::write(evidence.join("small.txt"), "a note")?;
    std::os::unix::fs::symlink("/etc/shadow", evidence.join("link"))?;

    let pattern = format!("{}/**", evidence.display());
    let ask = ["collect", WEB, "--source", "processes", "--glob", &pattern];
    let asked = [&ask[..], &["--bytes-max", "1G", "--reason", "test"]].concat();
    let told = fleet.cordon_json(&asked)?;
    let id = told.first().and_then(|told| told["command"].as_str()).context("no command")?;
    cut_in_the_middle(&mut fleet, id)?;

    let out = fleet.folder().join("case");
    let get = ["collection", "get", id, "--out", &out.to_string_lossy()];
    let got = fleet.cordon_json(&get)?;
    let got = got.first().context("nothing was fetched")?;
    let item = |path: &Path| {
        let items = got["items"].as_array().into_iter().flatten();
        let path = path.to_string_lossy();
        items.into_iter().find(|item| item["path"] == *path).cloned().unwrap_or(Value::Null)
    };
    for path in [evidence.join("deep/large.bin"), evidence.join("small.txt")] {
        let source = Hash::of(&fs::read(&path)?).to_string();
        ensure!(item(&path)["sha256"] == *source, "{}: {got}", path.display());
    }
    let link = item(&evidence.join("link"));
    ensure!(link["missing"].as_str().is_some_and(|why| why.contains("link")), "{link}");
    ensure!(item(Path::new("processes"))["bytes"].as_u64() > Some(100), "no processes: {got}");

    changed_is_noticed(&fleet, Path::new(got["file"].as_str().context("no file")?))?;
    waited_for(&fleet)
}

/// Stops the collector while the archive is on its way; it must go on where it was.
fn cut_in_the_middle(fleet: &mut Fleet, id: &str) -> Result<()> {
    let folder = fleet.folder().join(format!("collector/collections/of-{CLIENT}"));
    let part = await_some("a part of the archive has come", || {
        let found = file(&folder, id, "part")?;
        Ok(found.filter(|path| fs::metadata(path).is_ok_and(|meta| meta.len() > 0)))
    })?;
    fleet.kill_collector()?;
    let cut = fs::metadata(&part).context("it was delivered before it could be cut")?;
    ensure!(cut.len() < BYTES, "it was delivered before it could be cut");
    fleet.start_collector()?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    let whole = await_some("the archive is whole", || file(&folder, id, "archive"))?;
    ensure!(fs::metadata(&whole)?.ino() == cut.ino(), "it was begun anew");
    Ok(())
}

fn file(folder: &Path, id: &str, kind: &str) -> Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if name.starts_with(id) && name.ends_with(kind) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn changed_is_noticed(fleet: &Fleet, archive: &Path) -> Result<()> {
    let file = archive.to_string_lossy();
    let (code, said) = cordon(fleet, &["collection", "verify", &file])?;
    ensure!(code == DONE && said.contains("verified here"), "{code:?} {said}");
    let mut bytes = fs::read(archive)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(archive, bytes)?;
    let (code, said) = cordon(fleet, &["collection", "verify", &file])?;
    ensure!(code == DOES_NOT_HOLD && said.contains("NOT VERIFIED"), "{code:?} {said}");
    Ok(())
}

/// Asked for, waited for and fetched in one go; the receipt that proves it is verified.
fn waited_for(fleet: &Fleet) -> Result<()> {
    let out = fleet.folder().join("case-2").to_string_lossy().into_owned();
    let ask = ["collect", WEB, "--reason", "test", "--wait", "--out", &out];
    let (code, said) = cordon(fleet, &ask)?;
    ensure!(code == DONE && said.contains("the collector has the whole archive"), "{said}");
    ensure!(said.contains("every content verified here"), "{said}");
    Ok(())
}
