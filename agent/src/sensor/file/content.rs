//! What the first bytes of a file say: do they look like what its name promises? Pure.
//!
//! Encrypted bytes look random and have no known beginning; compressed ones look random too, which
//! is why known beginnings count first. Encryption that leaves a file's first 4 KiB alone, or that
//! puts on a known beginning, is not seen here.

use std::f64::consts::LN_2;

/// As much of a file as is looked at.
pub(super) const SAMPLE_BYTES: usize = 4096;

/// Fewer bytes say nothing about how random they are.
const RANDOM_BYTES_MIN: usize = 400;

/// How far below that of random bytes the entropy of a sample may be: more than chance does to 400
/// bytes in thousands of draws, and still far above text and programs.
const SLACK_BITS: f64 = 0.25;

/// How a file's content and its name go together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Content {
    /// It is what the name promises, or of a known kind, or nothing speaks against it.
    Fits,
    /// It is not what the name promises and of no known kind.
    Foreign,
    /// It looks random and is of no known kind.
    Scrambled,
    /// It is empty, too short, or was gone before it could be looked at.
    Unknown,
}

/// What the ending of a name promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Promise {
    /// Words.
    Text,
    /// A known beginning.
    Format,
    /// Something that people keep, of no one beginning.
    Ordinary,
    /// Nothing is known of this ending.
    Nothing,
}

const TEXTS: &[&str] = &[
    "asc", "bat", "c", "cc", "cfg", "conf", "cpp", "cs", "css", "csv", "env", "eml", "go", "h",
    "htm", "html", "ics", "ini", "java", "js", "json", "key", "log", "md", "pem", "php", "pl",
    "ps1", "py", "rb", "rs", "rst", "rtf", "sh", "sql", "svg", "tex", "toml", "ts", "tsv", "txt",
    "vcf", "xml", "yaml", "yml",
];

const FORMATS: &[&str] = &[
    "7z", "accdb", "avi", "bmp", "bz2", "db", "deb", "doc", "docm", "docx", "dwg", "epub", "flac",
    "gif", "gz", "heic", "jar", "jpeg", "jpg", "kdbx", "m4a", "mdb", "mkv", "mov", "mp3", "mp4",
    "msg", "odp", "ods", "odt", "ogg", "pdf", "png", "ppt", "pptx", "psd", "pst", "rar", "rpm",
    "sqlite", "tgz", "tif", "tiff", "vhdx", "vmdk", "wav", "webm", "webp", "xls", "xlsm", "xlsx",
    "xz", "zip", "zst",
];

const ORDINARY: &[&str] = &[
    "a",
    "age",
    "bak",
    "bin",
    "class",
    "crdownload",
    "crt",
    "d",
    "dat",
    "dll",
    "dpkg-new",
    "dpkg-old",
    "dpkg-tmp",
    "exe",
    "gpg",
    "idx",
    "img",
    "iso",
    "lock",
    "new",
    "o",
    "old",
    "orig",
    "pack",
    "part",
    "pid",
    "pyc",
    "rcgu",
    "rlib",
    "rmeta",
    "rpmnew",
    "rpmsave",
    "so",
    "swo",
    "swp",
    "tar",
    "temp",
    "tmp",
    "ttf",
    "vdi",
    "wasm",
    "woff2",
];

/// Beginnings of files, and where they stand.
const BEGINNINGS: &[(usize, &[u8])] = &[
    (0, b"%PDF"),
    (0, b"PK\x03\x04"),
    (0, b"PK\x05\x06"),
    (0, b"\xd0\xcf\x11\xe0"),
    (0, b"\x89PNG"),
    (0, b"\xff\xd8\xff"),
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"RIFF"),
    (0, b"ID3"),
    (0, b"\xff\xfb"),
    (0, b"\xff\xf3"),
    (0, b"fLaC"),
    (0, b"OggS"),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"\x1f\x8b"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ"),
    (0, b"\x28\xb5\x2f\xfd"),
    (0, b"7z\xbc\xaf"),
    (0, b"Rar!"),
    (0, b"\x04\x22\x4d\x18"),
    (0, b"SQLite format 3"),
    (0, b"\x7fELF"),
    (0, b"MZ"),
    (0, b"!<arch>"),
    (0, b"\xed\xab\xee\xdb"),
    (0, b"\x03\xd9\xa2\x9a"),
    (0, b"!BDN"),
    (0, b"AC10"),
    (0, b"8BPS"),
    (0, b"KDMV"),
    (0, b"vhdxfile"),
    (0, b"QFI\xfb"),
    (0, b"PACK"),
    (0, b"\xfftOc"),
    (0, b"DIRC"),
    (0, b"\0\0\0\x01Standard "),
    (0, b"\0\x01\0\0Standard "),
    (0, b"-----BEGIN"),
    (0, b"age-encryption.org"),
    (0, b"Salted__"),
    (0, b"LUKS"),
    (257, b"ustar"),
    (0, b"\xca\xfe\xba\xbe"),
    (0, b"wOF2"),
    (0, b"wOFF"),
    (0, b"BORG"),
];

/// Marks of the orders of bytes that a text may begin with.
const TEXT_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// What an ending, in lower case, promises.
pub(super) fn promise(ending: &[u8]) -> Promise {
    let Ok(ending) = std::str::from_utf8(ending) else { return Promise::Nothing };
    if TEXTS.contains(&ending) {
        Promise::Text
    } else if FORMATS.contains(&ending) {
        Promise::Format
    } else if ORDINARY.contains(&ending) || ending.chars().all(|digit| digit.is_ascii_digit()) {
        // A number is that of a rotated log or of a version of a library; no ending is none too.
        Promise::Ordinary
    } else {
        Promise::Nothing
    }
}

/// How the beginning of a file goes together with its ending.
pub(super) fn judge(promise: Promise, sample: &[u8]) -> Content {
    if sample.len() < 16 {
        return Content::Unknown;
    }
    if is_known(sample) {
        return Content::Fits;
    }
    if looks_random(sample) {
        return Content::Scrambled;
    }
    match promise {
        Promise::Text if !is_text(sample) => Content::Foreign,
        // A text under the name of a picture is an error page, not a loss.
        Promise::Format if !is_text(sample) => Content::Foreign,
        Promise::Text | Promise::Format | Promise::Ordinary | Promise::Nothing => Content::Fits,
    }
}

/// Whether bytes are as evenly spread as random ones would be.
pub(super) fn looks_random(sample: &[u8]) -> bool {
    let Ok(count) = u32::try_from(sample.len()) else { return false };
    if sample.len() < RANDOM_BYTES_MIN {
        return false;
    }
    // What chance takes from eight bits in so few bytes (Miller and Madow).
    let expected = 8.0 - 255.0 / (2.0 * LN_2 * f64::from(count));
    entropy(sample) >= expected - SLACK_BITS
}

/// Shannon's entropy, bits a byte.
pub(super) fn entropy(sample: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(sample.len()).unwrap_or(u32::MAX));
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    shares.map(|share| -share * share.log2()).sum()
}

fn is_known(sample: &[u8]) -> bool {
    let begins = |(at, beginning): &(usize, &[u8])| {
        sample.get(*at..).is_some_and(|rest| rest.starts_with(beginning))
    };
    // zlib has two bytes that are a multiple of 31: what git keeps its objects in.
    let is_zlib =
        sample[0] == 0x78 && u16::from_be_bytes([sample[0], sample[1]]).is_multiple_of(31);
    is_zlib || BEGINNINGS.iter().any(begins)
}

/// Few control characters; any script's letters will do.
fn is_text(sample: &[u8]) -> bool {
    if TEXT_MARKS.iter().any(|mark| sample.starts_with(mark)) {
        return true;
    }
    let control = |byte: &&u8| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127);
    sample.iter().filter(control).count() * 20 < sample.len()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use ring::digest::{SHA256, digest};

    use super::*;

    /// Bytes as a cipher would leave them; the same each time.
    pub(in super::super) fn random(bytes: usize) -> Vec<u8> {
        drawn(0, bytes)
    }

    fn drawn(draw: u32, bytes: usize) -> Vec<u8> {
        let blocks = (0_u32..).flat_map(|block| {
            let seed = [draw.to_le_bytes(), block.to_le_bytes()].concat();
            digest(&SHA256, &seed).as_ref().to_vec()
        });
        // Chance must not put on a known beginning.
        std::iter::once(0xa5).chain(blocks).take(bytes).collect()
    }

    pub(in super::super) fn prose(bytes: usize) -> Vec<u8> {
        b"It was the best of times, it was the worst of times. "
            .iter()
            .copied()
            .cycle()
            .take(bytes)
            .collect()
    }

    #[track_caller]
    fn check(ending: &str, sample: &[u8], expected: Content) {
        assert_eq!(judge(promise(ending.as_bytes()), sample), expected, "{ending}");
    }

    #[test]
    fn content_that_is_what_the_name_promises_fits() {
        check("txt", &prose(4096), Content::Fits);
        check("docx", &[b"PK\x03\x04".as_slice(), &random(4000)].concat(), Content::Fits);
        check("jpg", &[b"\xff\xd8\xff\xe0".as_slice(), &random(4000)].concat(), Content::Fits);
        check("jpg", &[b"\x89PNG".as_slice(), &random(4000)].concat(), Content::Fits);
        check("o", &[b"\x7fELF".as_slice(), &[0; 4000]].concat(), Content::Fits);
        check("pdf", b"<html><body>404 not found</body></html>", Content::Fits);
        check("txt", "Größe, Straße; Übung macht den Meister".as_bytes(), Content::Fits);
        check("dat", &[0; 4096], Content::Fits);
    }

    #[test]
    fn scrambled_content_is_seen_in_every_length_that_says_something() {
        for bytes in [400, 512, 1000, 2048, 4096] {
            for draw in 0..50 {
                check("docx", &drawn(draw, bytes), Content::Scrambled);
                check("locked", &drawn(draw, bytes), Content::Scrambled);
            }
        }
        check("txt", &random(100), Content::Foreign);
        check("docx", &random(40), Content::Foreign);
        check("docx", b"short", Content::Unknown);
        check("docx", b"", Content::Unknown);
    }

    #[test]
    fn content_that_was_overwritten_is_foreign() {
        check("pdf", &[0; 4096], Content::Foreign);
        check("txt", &[0; 4096], Content::Foreign);
    }

    #[test]
    fn entropy_is_that_of_the_textbooks() {
        assert!(entropy(&[7; 1000]).abs() < 1e-9);
        assert!((entropy(b"abababab") - 1.0).abs() < 1e-9);
        let all: Vec<u8> = (0..=255).collect();
        assert!((entropy(&all) - 8.0).abs() < 1e-9);
        let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        assert!(!looks_random(&base64.repeat(64)));
        assert!(!looks_random(&prose(4096)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_and_entropy_stays_in_its_bounds(
            sample in proptest::collection::vec(any::<u8>(), 0..600),
            ending in "[a-z0-9]{0,5}",
        ) {
            judge(promise(ending.as_bytes()), &sample);
            prop_assert!((0.0..=8.0 + 1e-9).contains(&entropy(&sample)));
        }
    }
}
