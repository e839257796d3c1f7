//! Reads an archive of evidence once, and compares all of it with its digest and its manifest.
//! Nothing is written; whoever wants the files has tar.

use std::io::{self, Read};

use anyhow::{Context as _, bail, ensure};
use cordon_proto::collection::tar::{self, BLOCK_BYTES, Block};
use cordon_proto::collection::{Check, Inside, Item, MANIFEST, MANIFEST_BYTES_MAX, read_manifest};
use cordon_proto::id::Hash;
use cordon_proto::limits::ARCHIVE_BYTES_MAX;
use ring::digest::{Context, SHA256};

/// Checks an archive that is not sealed, or not any more; answers what its manifest says.
pub fn check(archive: impl Read, signed: Inside) -> anyhow::Result<Vec<Item>> {
    let mut hashed = Hashed { from: archive, context: Context::new(&SHA256), bytes: 0 };
    // Only what was signed is unpacked: whatever else it may be, it is what the endpoint made.
    let read = contents(zstd::stream::read::Decoder::new(&mut hashed)?);
    io::copy(&mut hashed, &mut io::sink())?;
    let (bytes, sha256) = (hashed.bytes, digest(hashed.context));
    is_signed(Inside { bytes, sha256 }, signed)?;
    let (check, manifest) = read?;
    let items = read_manifest(&manifest)?;
    check.finish(&items)?;
    Ok(items)
}

/// Checks nothing but that these are the bytes that were signed.
pub fn check_bytes(archive: impl Read, signed: Inside) -> anyhow::Result<()> {
    let mut hashed = Hashed { from: archive, context: Context::new(&SHA256), bytes: 0 };
    io::copy(&mut hashed, &mut io::sink())?;
    let (bytes, found) = (hashed.bytes, digest(hashed.context));
    is_signed(Inside { bytes, sha256: found }, signed)
}

fn is_signed(found: Inside, signed: Inside) -> anyhow::Result<()> {
    ensure!(
        found == signed,
        "the archive is not the one that was signed: SHA-256 {}, signed {}",
        found.sha256,
        signed.sha256
    );
    Ok(())
}

/// Every entry's hash, and the manifest.
fn contents(mut archive: impl Read) -> anyhow::Result<(Check, Vec<u8>)> {
    let mut check = Check::default();
    let mut name = None;
    let mut total: u64 = 0;
    loop {
        let mut block = [0; BLOCK_BYTES];
        archive.read_exact(&mut block).context("the archive ends too early")?;
        let head = match tar::read_head(&block)? {
            Block::End => bail!("the archive has no manifest"),
            Block::Extension(bytes) => {
                let record = whole(&mut archive, bytes)?;
                name = Some(tar::read_extension(&record)?);
                continue;
            }
            Block::File(head) => head,
        };
        total = total.saturating_add(head.bytes);
        ensure!(total <= ARCHIVE_BYTES_MAX, "the archive holds more than one may");
        let name = name.take().unwrap_or(head.name);
        if name == MANIFEST.as_bytes() {
            ensure!(head.bytes <= MANIFEST_BYTES_MAX, "the manifest is too long");
            return Ok((check, whole(&mut archive, head.bytes)?));
        }
        let mut content = Hashed {
            from: archive.by_ref().take(head.bytes),
            context: Context::new(&SHA256),
            bytes: 0,
        };
        io::copy(&mut content, &mut io::sink())?;
        ensure!(content.bytes == head.bytes, "the archive ends too early");
        check.handle_entry(name, content.bytes, digest(content.context));
        skip(&mut archive, head.bytes)?;
    }
}

/// So many bytes, and what fills their last block.
fn whole(archive: &mut impl Read, bytes: u64) -> anyhow::Result<Vec<u8>> {
    let mut found = vec![0; usize::try_from(bytes)?];
    archive.read_exact(&mut found).context("the archive ends too early")?;
    skip(archive, bytes)?;
    Ok(found)
}

fn skip(archive: &mut impl Read, bytes: u64) -> anyhow::Result<()> {
    let mut block = [0; BLOCK_BYTES];
    let padding = block.get_mut(..tar::padding(bytes)).unwrap_or_default();
    archive.read_exact(padding).context("the archive ends too early")
}

/// Hashes what is read through it.
struct Hashed<R> {
    from: R,
    context: Context,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.context.update(buffer.get(..read).unwrap_or_default());
        self.bytes += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

fn digest(context: Context) -> Hash {
    let mut hash = Hash::default();
    hash.0.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use cordon_proto::collection::tar::Head;

    use super::*;

    /// An archive of one file that says `content` and is told to say `told`.
    fn made(content: &[u8], told: &[u8]) -> (Vec<u8>, Inside) {
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap();
        let mut item =
            Item { bytes: length(told), sha256: Some(Hash::of(told)), ..Item::default() };
        let name = [b"files/".as_slice(), &[b'n'; 150]].concat();
        item.set_entry(&name);
        let manifest = serde_json::to_vec(&item).unwrap();
        let mut bytes = Vec::new();
        for (name, content) in
            [(name, content), (MANIFEST.as_bytes().to_vec(), manifest.as_slice())]
        {
            let head = Head { name, bytes: length(content), ..Head::default() };
            bytes.extend(tar::write_head(&head));
            bytes.extend(content);
            bytes.resize(bytes.len() + tar::padding(length(content)), 0);
        }
        bytes.extend(tar::END);
        let bytes = zstd::stream::encode_all(bytes.as_slice(), 1).unwrap();
        let archive = Inside { bytes: length(&bytes), sha256: Hash::of(&bytes) };
        (bytes, archive)
    }

    #[track_caller]
    fn says((bytes, archive): (Vec<u8>, Inside), part: &str) {
        let said = check(bytes.as_slice(), archive).unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn an_archive_holds_whole_and_as_signed() {
        let (bytes, archive) = made(b"content", b"content");
        assert_eq!(check(bytes.as_slice(), archive).unwrap().len(), 1);
        says(made(b"content", b"another"), "is not what the manifest says");
        let other = Inside { sha256: Hash::of(b"other"), ..archive };
        says((bytes.clone(), other), "is not the one that was signed");
        for end in [0, 10, bytes.len() - 1] {
            let cut = bytes[..end].to_vec();
            let bytes = u64::try_from(end).unwrap();
            let signed = Inside { bytes, sha256: Hash::of(&cut) };
            assert!(check(cut.as_slice(), signed).is_err(), "{end}");
            assert!(check_bytes(cut.as_slice(), signed).is_ok(), "{end}");
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        says((longer, archive), "is not the one that was signed");
    }
}
