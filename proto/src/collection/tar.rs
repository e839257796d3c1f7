//! The little of the tar format (POSIX.1-2001) that an archive needs: regular files, with names of
//! any length and any bytes.

use super::MANIFEST_BYTES_MAX;

/// Tar is made of blocks of this size.
pub const BLOCK_BYTES: usize = 512;

/// A name that fits the header itself.
const NAME_BYTES: usize = 100;

/// What stands before a file's bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Head {
    /// Its name in the archive.
    pub name: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was last modified, in seconds since 1970 UTC.
    pub modified_secs: u64,
    /// How many bytes follow.
    pub bytes: u64,
}

/// What a block says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Block {
    /// A file follows. Its name is the one that an extension before it gave, if one did.
    File(Head),
    /// So many bytes of extensions to the next file follow.
    Extension(u64),
    /// The archive ends.
    End,
}

/// Why an archive cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is not a tar file as an endpoint makes it")]
pub struct NotTar;

/// The blocks before a file's bytes.
#[must_use]
pub fn write_head(head: &Head) -> Vec<u8> {
    let mut blocks = Vec::new();
    if head.name.len() > NAME_BYTES {
        let record = pax_record(&head.name);
        let bytes = u64::try_from(record.len()).unwrap_or(u64::MAX);
        let name = b"pax".to_vec();
        blocks.extend(block(&Head { name, bytes, mode: 0o600, ..Head::default() }, b'x'));
        blocks.extend_from_slice(&record);
        blocks.resize(blocks.len().saturating_add(padding(bytes)), 0);
    }
    blocks.extend(block(head, b'0'));
    blocks
}

/// How many zeros follow so many bytes of a file.
#[must_use]
pub fn padding(bytes: u64) -> usize {
    let over = bytes.checked_rem(BLOCK_BYTES as u64).and_then(|over| usize::try_from(over).ok());
    match over {
        None | Some(0) => 0,
        Some(over) => BLOCK_BYTES.saturating_sub(over),
    }
}

/// What stands at the end.
pub const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Reads one block where a head must stand.
pub fn read_head(block: &[u8; BLOCK_BYTES]) -> Result<Block, NotTar> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(Block::End);
    }
    let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
    let small = |from, to| u32::try_from(octal(field(from, to))?).ok();
    if octal(field(148, 156)) != Some(checksum(block)) || field(257, 262) != b"ustar" {
        return Err(NotTar);
    }
    let bytes = octal(field(124, 136)).ok_or(NotTar)?;
    match block.get(156) {
        Some(b'x') if bytes <= MANIFEST_BYTES_MAX => Ok(Block::Extension(bytes)),
        Some(b'0') => {
            let name = field(0, NAME_BYTES);
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            let mode = small(100, 108).ok_or(NotTar)?;
            let (uid, gid) = (small(108, 116).ok_or(NotTar)?, small(116, 124).ok_or(NotTar)?);
            let modified_secs = octal(field(136, 148)).ok_or(NotTar)?;
            Ok(Block::File(Head { name, mode, uid, gid, modified_secs, bytes }))
        }
        _ => Err(NotTar),
    }
}

/// The name that an extension gives to the next file.
pub fn read_extension(bytes: &[u8]) -> Result<Vec<u8>, NotTar> {
    let space = bytes.iter().position(|byte| *byte == b' ').ok_or(NotTar)?;
    let length = std::str::from_utf8(bytes.get(..space).ok_or(NotTar)?).ok();
    let length: usize = length.and_then(|digits| digits.parse().ok()).ok_or(NotTar)?;
    let record = bytes.strip_suffix(b"\n").filter(|_| length == bytes.len()).ok_or(NotTar)?;
    let value = record.get(space..).and_then(|rest| rest.strip_prefix(b" path="));
    value.map(<[u8]>::to_vec).ok_or(NotTar)
}

/// A record says its own length, digits included.
fn pax_record(name: &[u8]) -> Vec<u8> {
    let bare = name.len().saturating_add(" path=\n".len());
    let mut length = bare.saturating_add(1);
    while bare.saturating_add(length.to_string().len()) != length {
        length = bare.saturating_add(length.to_string().len());
    }
    [length.to_string().as_bytes(), b" path=", name, b"\n"].concat()
}

fn block(head: &Head, kind: u8) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        let to = block.iter_mut().skip(at);
        to.zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, head.name.get(..NAME_BYTES).unwrap_or(&head.name));
    put(100, format!("{:07o}\0", head.mode & 0o7777).as_bytes());
    // An id that seven digits cannot say is in the manifest; zero would make root the owner.
    let id = |id: u32| format!("{:07o}\0", id.min(0o7_777_777));
    put(108, id(head.uid).as_bytes());
    put(116, id(head.gid).as_bytes());
    put(124, format!("{:011o}\0", head.bytes.min(0o77_777_777_777)).as_bytes());
    put(136, format!("{:011o}\0", head.modified_secs.min(0o77_777_777_777)).as_bytes());
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum = format!("{:06o}\0 ", checksum(&block));
    let to = block.iter_mut().skip(148);
    to.zip(sum.as_bytes()).for_each(|(to, from)| *to = *from);
    block
}

/// The sum of a block's bytes, its own field counted as spaces.
fn checksum(block: &[u8; BLOCK_BYTES]) -> u64 {
    let each = block.iter().enumerate().map(|(at, byte)| {
        let own = (148..156).contains(&at);
        u64::from(if own { b' ' } else { *byte })
    });
    each.sum()
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads what [`write_head`] wrote.
    fn read(mut blocks: &[u8]) -> Head {
        let mut name = None;
        loop {
            let (block, rest) = blocks.split_first_chunk::<BLOCK_BYTES>().unwrap();
            match read_head(block).unwrap() {
                Block::File(head) => return Head { name: name.unwrap_or(head.name), ..head },
                Block::Extension(bytes) => {
                    let length = usize::try_from(bytes).unwrap();
                    name = Some(read_extension(&rest[..length]).unwrap());
                    blocks = &rest[length + padding(bytes)..];
                }
                Block::End => panic!("it ended"),
            }
        }
    }

    proptest! {
        #[test]
        fn heads_read_back_as_they_were_written(
            name in prop::collection::vec(1_u8.., 1..300),
            (mode, uid, gid) in (0_u32..0o10000, 0_u32..0o7_777_777, 0_u32..0o7_777_777),
            (modified_secs, bytes) in (0_u64..1 << 33, 0_u64..1 << 33),
        ) {
            let head = Head { name, mode, uid, gid, modified_secs, bytes };
            prop_assert_eq!(read(&write_head(&head)), head);
        }

        #[test]
        fn any_block_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            drop(read_head(bytes.first_chunk().unwrap()));
            drop(read_extension(&bytes));
        }
    }

    #[test]
    fn a_block_with_one_byte_changed_is_refused() {
        let head = Head { name: b"files/etc/hosts".to_vec(), bytes: 9, ..Head::default() };
        let blocks = write_head(&head);
        for at in 0..BLOCK_BYTES {
            let mut changed: [u8; BLOCK_BYTES] = blocks.as_slice().try_into().unwrap();
            changed[at] ^= 1;
            let read = read_head(&changed);
            assert!(read.is_err() || read == read_head(blocks.first_chunk().unwrap()), "{at}");
        }
    }

    #[test]
    fn a_length_that_grows_by_its_own_digits_is_right() {
        for length in 85..105 {
            let record = pax_record(&vec![b'a'; length]);
            assert_eq!(read_extension(&record).unwrap().len(), length);
        }
    }
}
