//! Collected evidence: made and sealed at the endpoint, cut off half-way, delivered all the same, opened
//! by those to whom it is sealed and by nobody else, and verified down to the bytes of the files that
//! it was made of.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::{CLIENT, Fleet};
use cordon_proto::collection::sealed::MAGIC;
use cordon_proto::id::Hash;
use serde_json::Value;

use crate::scene::{PATIENCE, WEB, await_some, cordon, first_roster, fleet_of_one, sign_roster};

/// Enough that a collector can be stopped in the middle: hundreds of pieces.
const BYTES: u64 = 48 << 20;

/// Somewhere in the middle of the chunks.
const BYTES_OF_SOME_CHUNKS: usize = 7 << 20;

/// Exit codes of `cordon`: see `cordon exit-codes`.
const DONE: Option<i32> = Some(0);
const ACTION_FAILED: Option<i32> = Some(12);
const DOES_NOT_HOLD: Option<i32> = Some(14);

pub(crate) fn brought() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    sealing_keys_of(&fleet, 2, &["ann"])?;
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
    the_collector_holds_nothing_readable(&fleet, id, &random)?;
    another_key_opens_nothing(&fleet, id)?;

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

    ensure!(got["sealed"] == true, "{got}");
    ensure!(!files(&out)?.iter().any(|name| name.ends_with(".sealed")), "the sealed one is left");
    changed_is_noticed(&fleet, Path::new(got["file"].as_str().context("no file")?))?;
    waited_for(&fleet)?;
    unsealed_only_by_leave(&fleet)
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

/// Random bytes do not get shorter: an archive that was not sealed would hold them as they are.
fn the_collector_holds_nothing_readable(fleet: &Fleet, id: &str, random: &[u8]) -> Result<()> {
    let folder = fleet.folder().join(format!("collector/collections/of-{CLIENT}"));
    let held = fs::read(file(&folder, id, "archive")?.context("no archive")?)?;
    ensure!(held.starts_with(MAGIC), "the collector holds something else");
    ensure!(held.len() > random.len(), "it holds less than was collected");
    for part in random.chunks(random.len() / 2).filter_map(|part| part.get(..32)) {
        ensure!(!held.windows(32).any(|held| held == part), "the collector can read evidence");
    }
    Ok(())
}

/// A roster in which these alone have sealing keys is held by the endpoint.
fn sealing_keys_of(fleet: &Fleet, version: u64, names: &[&str]) -> Result<()> {
    let (mut roster, _, _) = first_roster(fleet)?;
    roster.version = version;
    for operator in &mut roster.operators {
        ensure!(operator.sealing.is_some(), "{} has no sealing key at all", operator.id);
        operator.sealing = operator.sealing.filter(|_| names.contains(&operator.id.as_str()));
    }
    let path = fleet.folder().join(format!("sealing-{version}.cbor"));
    fs::write(&path, sign_roster(fleet, &roster)?)?;
    fleet.cordon(&["roster", "push", &path.to_string_lossy()])?;
    await_some("the endpoint holds the new roster", || {
        let held = fleet.endpoint_json(WEB)?["roster_version"].as_u64();
        Ok((held == Some(version)).then_some(()))
    })
}

/// Bob may collect, and had no sealing key when the archive was made.
fn another_key_opens_nothing(fleet: &Fleet, id: &str) -> Result<()> {
    let folder = fleet.folder().join(format!("collector/collections/of-{CLIENT}"));
    let stolen = fleet.folder().join("stolen");
    fs::create_dir_all(&stolen)?;
    let (archive, signed) = (stolen.join("a.tar.zst.sealed"), stolen.join("a.tar.zst.signed"));
    fs::copy(file(&folder, id, "archive")?.context("no archive")?, &archive)?;
    fs::copy(file(&folder, id, "collected")?.context("nothing signed")?, signed)?;
    let name = archive.to_string_lossy();
    let (code, said) = cordon(fleet, &["collection", "verify", &name])?;
    ensure!(code == DONE && said.contains("it is sealed"), "{code:?} {said}");
    let (code, said) = cordon(fleet, &["--profile", "bob", "collection", "open", &name])?;
    ensure!(code != DONE && said.contains("it is sealed to ann, and not to"), "{code:?} {said}");
    let left = files(&stolen)?;
    ensure!(left == ["a.tar.zst.sealed", "a.tar.zst.signed"], "{left:?}");
    let bytes = fs::read(&archive)?;
    let (code, said) = cordon(fleet, &["collection", "open", &name])?;
    ensure!(code == DONE && said.contains("every content verified here"), "{code:?} {said}");
    fs::remove_file(stolen.join("a.tar.zst"))?;
    for (change, says) in [
        (changed(&bytes, |bytes| bytes[BYTES_OF_SOME_CHUNKS] ^= 1), "is not what was sealed there"),
        (changed(&bytes, |bytes| bytes.truncate(bytes.len() - 1)), "is not what was sealed there"),
        (changed(&bytes, |bytes| bytes.truncate(1)), "is cut short after 0 whole parts"),
    ] {
        fs::write(&archive, change)?;
        let (code, said) = cordon(fleet, &["collection", "open", &name])?;
        ensure!(code == DOES_NOT_HOLD && said.contains(says), "{code:?} {said}");
        ensure!(files(&stolen)?.len() == 2, "something was opened");
    }
    Ok(())
}

fn changed(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    bytes
}

fn files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
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

/// Where nobody could open an archive it is not made; with leave it goes as it is.
fn unsealed_only_by_leave(fleet: &Fleet) -> Result<()> {
    sealing_keys_of(fleet, 3, &[])?;
    let ask = ["collect", WEB, "--source", "sessions", "--reason", "test", "--wait"];
    let (code, said) = cordon(fleet, &ask)?;
    ensure!(code == ACTION_FAILED && said.contains("lets collect has a sealing key"), "{said}");
    let out = fleet.folder().join("case-3").to_string_lossy().into_owned();
    let (code, said) = cordon(fleet, &[&ask[..], &["--unsealed", "--out", &out]].concat())?;
    ensure!(code == DONE && said.contains("it was not sealed"), "{code:?} {said}");
    ensure!(said.contains("every content verified here"), "{said}");
    let names = files(Path::new(&out))?;
    ensure!(names.len() == 2 && names.iter().all(|name| !name.ends_with(".sealed")), "{names:?}");
    Ok(())
}
