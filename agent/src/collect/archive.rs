//! Writes an archive: tar in one zstd frame, every content hashed as it goes in, the manifest last.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cordon_proto::collection::tar::{self, Head};
use cordon_proto::collection::{Item, MANIFEST, MANIFEST_BYTES_MAX};
use cordon_proto::id::Hash;
use ring::digest::{Context, SHA256};
use rustix::fs::OFlags;

use super::walk;

/// How hard it is compressed: what costs a moment of one core a megabyte. More than this is left out
/// of the zstd that is compiled in.
const LEVEL: i32 = 2;

/// Read from a file at once.
const READ_BYTES: usize = 64 << 10;

/// One line of the manifest that is kept free for saying that there are more.
const LINE_BYTES: usize = 1 << 10;

/// An archive that is being written.
pub struct Archive<W: Write> {
    out: zstd::stream::write::Encoder<'static, W>,
    /// What may still go in.
    room: u64,
    manifest: Vec<u8>,
    report: Report,
}

/// What went in, and what did not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Sources and files.
    pub entries: u64,
    /// What did not go in, or not whole.
    pub missing: u64,
    /// Whether a limit kept something out.
    pub cut: bool,
}

impl<W: Write> Archive<W> {
    /// Begins one of at most so many bytes of content.
    pub fn begin(out: W, bytes_max: u64) -> io::Result<Self> {
        let out = zstd::stream::write::Encoder::new(out, LEVEL)?;
        Ok(Self { out, room: bytes_max, manifest: Vec::new(), report: Report::default() })
    }

    /// Adds the rows of a source. `missing`: why they are not all.
    pub fn source(&mut self, name: &str, rows: &[u8], missing: Option<String>) -> io::Result<()> {
        let entry = format!("sources/{name}.jsonl").into_bytes();
        let kept = rows.get(..usize::try_from(self.room).unwrap_or(usize::MAX)).unwrap_or(rows);
        let cut = kept.len() < rows.len();
        let missing = if cut { Some(self.too_much()) } else { missing };
        let bytes = u64::try_from(kept.len()).unwrap_or(u64::MAX);
        let head = Head { name: entry.clone(), mode: 0o600, bytes, ..Head::default() };
        self.out.write_all(&tar::write_head(&head))?;
        self.out.write_all(kept)?;
        self.pad(bytes)?;
        self.room -= bytes;
        let sha256 = Some(Hash::of(kept));
        let mut item = Item { path: name.to_owned(), bytes, sha256, missing, ..Item::default() };
        item.set_entry(&entry);
        self.note(&item);
        Ok(())
    }

    /// Adds a file, or notes why not. An error is one of the archive.
    pub fn file(&mut self, path: &Path) -> io::Result<()> {
        let opened = walk::open(path, OFlags::empty());
        let opened = opened.and_then(|file| Ok((file.metadata()?, file)));
        let (before, mut file) = match opened {
            Ok((meta, file)) if meta.is_file() => (meta, file),
            Ok(_) => return self.miss(path, "no regular file any more".to_owned()),
            Err(error) => return self.miss(path, walk::says(&error)),
        };
        let mut item = Item {
            path: path.display().to_string(),
            mode: Some(before.mode() & 0o7777),
            uid: Some(before.uid()),
            gid: Some(before.gid()),
            modified_ns: modified_ns(&before),
            ..Item::default()
        };
        if self.room == 0 && before.len() > 0 {
            item.missing = Some(self.too_much());
            self.note(&item);
            return Ok(());
        }
        let bytes = before.len().min(self.room);
        if bytes < before.len() {
            item.missing = Some(self.too_much());
        }
        let name = [b"files".as_slice(), path.as_os_str().as_bytes()].concat();
        item.set_entry(&name);
        let head = Head {
            name,
            mode: before.mode() & 0o7777,
            uid: before.uid(),
            gid: before.gid(),
            modified_secs: u64::try_from(before.mtime()).unwrap_or(0),
            bytes,
        };
        self.out.write_all(&tar::write_head(&head))?;
        let (sha256, problem) = self.content(&mut file, bytes)?;
        self.pad(bytes)?;
        self.room -= bytes;
        let after = file.metadata().ok();
        let same = after.is_some_and(|after| {
            after.len() == before.len() && modified_ns(&after) == modified_ns(&before)
        });
        item.changed = !same;
        item.bytes = bytes;
        item.sha256 = Some(sha256);
        item.missing = problem.or(item.missing);
        self.note(&item);
        Ok(())
    }

    /// Notes what could not be brought away.
    pub fn miss(&mut self, path: &Path, why: String) -> io::Result<()> {
        let path = path.display().to_string();
        self.note(&Item { path, missing: Some(why), ..Item::default() });
        Ok(())
    }

    /// A limit kept something out.
    pub fn cut(&mut self) {
        self.report.cut = true;
    }

    /// Writes the manifest and ends the archive.
    pub fn finish(mut self) -> io::Result<(W, Report)> {
        let manifest = std::mem::take(&mut self.manifest);
        let bytes = u64::try_from(manifest.len()).unwrap_or(u64::MAX);
        let name = MANIFEST.as_bytes().to_vec();
        let head = Head { name, mode: 0o600, bytes, ..Head::default() };
        self.out.write_all(&tar::write_head(&head))?;
        self.out.write_all(&manifest)?;
        self.pad(bytes)?;
        self.out.write_all(&tar::END)?;
        Ok((self.out.finish()?, self.report))
    }

    /// Copies a file's bytes. One that became shorter is filled with zeros: its length was said.
    fn content(&mut self, file: &mut File, bytes: u64) -> io::Result<(Hash, Option<String>)> {
        let mut hash = Context::new(&SHA256);
        let mut buffer = vec![0; READ_BYTES];
        let mut left = bytes;
        let mut problem = None;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
            let part = &mut buffer[..wanted];
            let read = match file.read(part) {
                Ok(0) => {
                    problem = Some("it became shorter while it was read; zeros follow".to_owned());
                    None
                }
                Ok(read) => Some(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    problem = Some(format!("reading it failed: {error}; zeros follow"));
                    None
                }
            };
            let length = read.unwrap_or_else(|| {
                part.fill(0);
                wanted
            });
            hash.update(&part[..length]);
            self.out.write_all(&part[..length])?;
            left -= u64::try_from(length).unwrap_or(left);
            if read.is_none() {
                while left > 0 {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
                    buffer[..length].fill(0);
                    hash.update(&buffer[..length]);
                    self.out.write_all(&buffer[..length])?;
                    left -= u64::try_from(length).unwrap_or(left);
                }
            }
        }
        let mut sha256 = Hash::default();
        sha256.0.copy_from_slice(hash.finish().as_ref());
        Ok((sha256, problem))
    }

    fn pad(&mut self, bytes: u64) -> io::Result<()> {
        self.out.write_all(&tar::END[..tar::padding(bytes)])
    }

    fn too_much(&mut self) -> String {
        self.report.cut = true;
        "beyond the bytes that the command allows".to_owned()
    }

    /// What the manifest has no room for is counted.
    fn note(&mut self, item: &Item) {
        self.report.entries += u64::from(item.entry.is_some());
        self.report.missing += u64::from(item.missing.is_some());
        let line = serde_json::to_vec(item).unwrap_or_default();
        let room = usize::try_from(MANIFEST_BYTES_MAX).unwrap_or(usize::MAX) - LINE_BYTES;
        // Files are far fewer than fit; only what is missing may be more.
        if item.entry.is_none() && self.manifest.len() + line.len() > room {
            self.report.cut = true;
            return;
        }
        self.manifest.extend(line);
        self.manifest.push(b'\n');
    }
}

fn modified_ns(meta: &std::fs::Metadata) -> Option<String> {
    let (secs, ns) = (i128::from(meta.mtime()), i128::from(meta.mtime_nsec()));
    Some((secs * 1_000_000_000 + ns).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an archive of these files and reads it back: names, and the manifest.
    fn made(bytes_max: u64, files: &[&Path], rows: &[u8]) -> (Vec<u8>, Report) {
        let mut archive = Archive::begin(Vec::new(), bytes_max).unwrap();
        archive.source("processes", rows, None).unwrap();
        for file in files {
            archive.file(file).unwrap();
        }
        let (bytes, report) = archive.finish().unwrap();
        (zstd::stream::decode_all(bytes.as_slice()).unwrap(), report)
    }

    #[test]
    fn what_goes_in_is_hashed_and_what_does_not_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let (one, two, none) = (root.join("one"), root.join("two"), root.join("none"));
        std::fs::write(&one, "content of one").unwrap();
        std::fs::write(&two, "content of two").unwrap();
        let (tar, report) = made(20, &[&one, &two, &none], b"{}\n");
        assert_eq!(report, Report { entries: 3, missing: 2, cut: true });
        let text = String::from_utf8_lossy(&tar);
        assert!(text.contains("content of one") && text.contains("con\0"), "cut at 20 bytes");
        assert!(text.contains(&Hash::of(b"content of one").to_string()));
        assert!(text.contains(&Hash::of(b"con").to_string()));
        assert!(text.contains("beyond the bytes that the command allows"));
        assert!(text.contains("No such file"));
        assert_eq!(tar.len() % tar::BLOCK_BYTES, 0);
    }
}
