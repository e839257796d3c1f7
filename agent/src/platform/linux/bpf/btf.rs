//! Reads the kernel's own description of its types (BTF): where a member stands in a structure,
//! and the number of a type.
//!
//! Every read is checked against the blob's bounds: a blob that makes no sense is an error or a
//! name that is not found, never a panic. Only blobs in native byte order are read.

use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel shows its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;

/// Modifiers (const, volatile, typedef) that are followed before a chain counts as a circle.
const MODIFIERS_MAX: usize = 32;

/// Structures without a name inside one another; the kernel nests three.
const NESTING_MAX: usize = 8;

/// What a type is, as far as this reader tells them apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A structure.
    Struct,
    /// A union.
    Union,
    /// Another name for a type.
    Typedef,
    /// A function.
    Function,
    /// Const, volatile, restrict or a tag: stands before another type.
    Modifier,
    /// Anything else.
    Other,
}

/// Why the types could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error("reading the kernel's types from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The blob does not begin as it must.
    #[error("reading the kernel's types: the header is not that of BTF version 1")]
    Header,
    /// A type could not be stepped over.
    #[error("reading the kernel's types: type {id} is cut off or of the unknown kind {kind}")]
    Type {
        /// Its number.
        id: usize,
        /// Its kind.
        kind: u32,
    },
    /// This kernel does not have a type.
    #[error("this kernel's types have no {name}")]
    NoType {
        /// The name.
        name: String,
    },
    /// This kernel's structure does not have a member.
    #[error("this kernel's types have no member {path} in {structure}")]
    NoMember {
        /// The structure.
        structure: String,
        /// The member, with dots.
        path: String,
    },
    /// A member stands where an instruction cannot reach.
    #[error("the member {path} of {structure} is a bit field or stands beyond reach")]
    OutOfReach {
        /// The structure.
        structure: String,
        /// The member, with dots.
        path: String,
    },
}

/// The kernel's types.
#[derive(Debug)]
pub struct Btf {
    blob: Vec<u8>,
    strings: usize,
    /// Where each type stands in the blob; number 0 is void and has no place.
    types: Vec<usize>,
}

impl Btf {
    /// Reads a file of types.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let blob = std::fs::read(path)
            .map_err(|source| BtfError::Read { path: path.to_owned(), source })?;
        Self::parse(blob)
    }

    /// Takes a blob apart far enough to find types by number.
    pub fn parse(mut blob: Vec<u8>) -> Result<Self, BtfError> {
        let header = Header::parse(&blob).ok_or(BtfError::Header)?;
        let end = header.types + header.types_bytes;
        let mut types = vec![0];
        let mut at = header.types;
        while at < end {
            let id = types.len();
            let kind = word(&blob, at + 4).map_or(u32::MAX, kind_number);
            let bytes = type_bytes(&blob, at).ok_or(BtfError::Type { id, kind })?;
            if end - at < bytes {
                return Err(BtfError::Type { id, kind });
            }
            types.push(at);
            at += bytes;
        }
        blob.truncate(header.strings + header.strings_bytes);
        Ok(Self { blob, strings: header.strings, types })
    }

    /// The number of the first type of that kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Result<u32, BtfError> {
        let found = self
            .types
            .iter()
            .skip(1)
            .position(|at| self.kind_at(*at) == Some(kind) && self.is_named(*at, name));
        found
            .and_then(|place| u32::try_from(place + 1).ok())
            .ok_or_else(|| BtfError::NoType { name: name.to_owned() })
    }

    /// A structure by its name. It is looked for among all types, so ask once.
    pub fn structure(&self, name: &str) -> Result<Structure<'_>, BtfError> {
        let id = self.find(Kind::Struct, name)?;
        Ok(Structure { btf: self, id, name: name.to_owned() })
    }

    fn member(&self, id: u32, name: &str, nesting: usize) -> Option<Member> {
        let at = self.place(id)?;
        let info = word(&self.blob, at + 4)?;
        if !matches!(kind_of(kind_number(info)), Kind::Struct | Kind::Union) {
            return None;
        }
        let has_bit_fields = info >> 31 == 1;
        for index in 0..usize::from(count(info)) {
            let member = at + 12 + 12 * index;
            let place = word(&self.blob, member + 8)?;
            let (bits, field_bits) =
                if has_bit_fields { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            let of = self.unmodified(word(&self.blob, member + 4)?)?;
            if self.is_named(member, name) {
                return Some(Member { bits, of, is_bit_field: field_bits != 0 });
            }
            if nesting > 0
                && word(&self.blob, member) == Some(0)
                && let Some(inner) = self.member(of, name, nesting - 1)
            {
                return Some(Member { bits: bits.checked_add(inner.bits)?, ..inner });
            }
        }
        None
    }

    /// The type behind const, volatile, tags and other names.
    fn unmodified(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MODIFIERS_MAX {
            let Some(at) = self.place(id) else { return Some(id) };
            if !matches!(self.kind_at(at)?, Kind::Modifier | Kind::Typedef) {
                return Some(id);
            }
            id = word(&self.blob, at + 8)?;
        }
        None
    }

    fn place(&self, id: u32) -> Option<usize> {
        let id = usize::try_from(id).ok()?;
        if id == 0 { None } else { self.types.get(id).copied() }
    }

    fn kind_at(&self, at: usize) -> Option<Kind> {
        word(&self.blob, at + 4).map(kind_number).map(kind_of)
    }

    /// Types and members alike begin with the place of their name.
    fn is_named(&self, at: usize, name: &str) -> bool {
        let text = word(&self.blob, at)
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| self.strings.checked_add(offset))
            .and_then(|start| self.blob.get(start..));
        text.and_then(|text| text.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// One of the kernel's structures.
#[derive(Clone, Debug)]
pub struct Structure<'a> {
    btf: &'a Btf,
    id: u32,
    name: String,
}

impl Structure<'_> {
    /// Where a member stands, in bytes. The path may go through members with dots, never through
    /// pointers; members of structures without a name count as the outer structure's own.
    pub fn offset(&self, path: &str) -> Result<i16, BtfError> {
        let missing = || BtfError::NoMember { structure: self.name.clone(), path: path.to_owned() };
        let beyond =
            || BtfError::OutOfReach { structure: self.name.clone(), path: path.to_owned() };
        let mut id = self.id;
        let mut bits = 0u64;
        for name in path.split('.') {
            let member = self.btf.member(id, name, NESTING_MAX).ok_or_else(missing)?;
            bits += u64::from(member.bits);
            id = member.of;
            if member.is_bit_field {
                return Err(beyond());
            }
        }
        if !bits.is_multiple_of(8) {
            return Err(beyond());
        }
        i16::try_from(bits / 8).map_err(|_too_far| beyond())
    }
}

struct Member {
    bits: u32,
    of: u32,
    is_bit_field: bool,
}

struct Header {
    types: usize,
    types_bytes: usize,
    strings: usize,
    strings_bytes: usize,
}

impl Header {
    fn parse(blob: &[u8]) -> Option<Self> {
        let (magic, version) = (blob.get(..2)?, *blob.get(2)?);
        if magic != MAGIC.to_ne_bytes() || version != 1 {
            return None;
        }
        let field = |at| usize::try_from(word(blob, at)?).ok();
        let header_bytes = field(4)?;
        let types = header_bytes.checked_add(field(8)?)?;
        let types_bytes = field(12)?;
        let strings = header_bytes.checked_add(field(16)?)?;
        let strings_bytes = field(20)?;
        let fits = |start: usize, bytes: usize| {
            start.checked_add(bytes).is_some_and(|end| end <= blob.len())
        };
        (fits(types, types_bytes) && fits(strings, strings_bytes)).then_some(Self {
            types,
            types_bytes,
            strings,
            strings_bytes,
        })
    }
}

fn word(blob: &[u8], at: usize) -> Option<u32> {
    let bytes = blob.get(at..at.checked_add(4)?)?;
    bytes.try_into().map(u32::from_ne_bytes).ok()
}

fn kind_number(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn count(info: u32) -> u16 {
    let [.., high, low] = info.to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn kind_of(number: u32) -> Kind {
    match number {
        4 => Kind::Struct,
        5 => Kind::Union,
        8 => Kind::Typedef,
        9 | 10 | 11 | 18 => Kind::Modifier,
        12 => Kind::Function,
        _ => Kind::Other,
    }
}

/// How long a type's description is; none for kinds that this reader does not know.
fn type_bytes(blob: &[u8], at: usize) -> Option<usize> {
    let info = word(blob, at + 4)?;
    let count = usize::from(count(info));
    let tail = match kind_number(info) {
        1 | 14 | 17 => 4,
        2 | 7..=12 | 16 | 18 => 0,
        3 => 12,
        4 | 5 | 15 | 19 => 12 * count,
        6 | 13 => 8 * count,
        _ => return None,
    };
    Some(12 + tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes blobs as the kernel does.
    #[derive(Default)]
    struct Blob {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    const INT: u32 = 1;
    const STRUCT: u32 = 4;
    const UNION: u32 = 5;
    const TYPEDEF: u32 = 8;
    const CONST: u32 = 10;
    const FUNCTION: u32 = 12;

    impl Blob {
        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len();
            self.strings.extend_from_slice(name.as_bytes());
            self.strings.push(0);
            u32::try_from(at).unwrap()
        }

        fn words(&mut self, words: &[u32]) -> &mut Self {
            self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            self
        }

        fn plain(&mut self, kind: u32, name: &str, of: u32) -> &mut Self {
            let name = self.name(name);
            self.words(&[name, kind << 24, of])
        }

        fn int(&mut self) -> &mut Self {
            self.plain(INT, "int", 4).words(&[32])
        }

        fn composite(&mut self, info: u32, name: &str, members: &[(&str, u32, u32)]) -> &mut Self {
            let name = self.name(name);
            self.words(&[name, info | u32::try_from(members.len()).unwrap(), 64]);
            for (member, of, place) in members {
                let member = self.name(member);
                self.words(&[member, *of, *place]);
            }
            self
        }

        fn finish(&self) -> Vec<u8> {
            let types = u32::try_from(self.types.len()).unwrap();
            let strings = u32::try_from(self.strings.len()).unwrap();
            let mut blob = MAGIC.to_ne_bytes().to_vec();
            blob.extend([1, 0]);
            for word in [24, 0, types, types, strings] {
                blob.extend(u32::to_ne_bytes(word));
            }
            blob.extend(&self.types);
            blob.extend(&self.strings);
            blob
        }
    }

    /// 1 int; 2 task { id@0, {union { start@8, real@8 }}@8, cred@32: const kuid, flag:1@40.. };
    /// 3 union; 4 kuid { val@4 }; 5 const kuid; 6 typedef; 7 function; 8 outer anonymous struct.
    fn sample() -> Vec<u8> {
        let mut blob = Blob::default();
        blob.int();
        let bit_field = (1 << 24) | (40 * 8);
        let far = 0x9_0000 * 8;
        let members = [
            ("id", 1, 0),
            ("", 8, 64),
            ("cred", 5, 256),
            ("flag", 1, bit_field),
            ("odd", 1, 41),
            ("far", 1, far),
        ];
        blob.composite((1 << 31) | (STRUCT << 24), "task", &members);
        blob.composite(UNION << 24, "", &[("start", 1, 0), ("real", 1, 0)]);
        blob.composite(STRUCT << 24, "kuid", &[("pad", 1, 0), ("val", 1, 32)]);
        blob.plain(CONST, "", 4).plain(TYPEDEF, "trace", 1).plain(FUNCTION, "trace", 1);
        blob.composite(STRUCT << 24, "", &[("before", 1, 0), ("", 3, 32)]);
        blob.finish()
    }

    #[track_caller]
    fn check(structure: &str, path: &str, expected: &str) {
        let btf = Btf::parse(sample()).unwrap();
        let found = match btf.structure(structure).and_then(|found| found.offset(path)) {
            Ok(offset) => offset.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_member_is_found_by_its_path() {
        check("task", "id", "0");
        check("task", "cred", "32");
        check("task", "cred.val", "36");
    }

    #[test]
    fn members_of_nameless_structures_count_as_the_outer_ones_own() {
        check("task", "before", "8");
        check("task", "start", "12");
        check("task", "real", "12");
    }

    #[test]
    fn what_is_missing_or_out_of_reach_is_named() {
        check("gone", "id", "this kernel's types have no gone");
        check("task", "gone", "this kernel's types have no member gone in task");
        check("task", "id.deeper", "this kernel's types have no member id.deeper in task");
        check("task", "flag", "the member flag of task is a bit field or stands beyond reach");
        check("task", "odd", "the member odd of task is a bit field or stands beyond reach");
        check("task", "far", "the member far of task is a bit field or stands beyond reach");
    }

    #[test]
    fn types_of_one_name_are_told_apart_by_kind() {
        let btf = Btf::parse(sample()).unwrap();
        assert_eq!(btf.find(Kind::Typedef, "trace").unwrap(), 6);
        assert_eq!(btf.find(Kind::Function, "trace").unwrap(), 7);
        assert!(btf.find(Kind::Struct, "trace").is_err());
    }

    #[test]
    fn a_kind_from_the_future_is_named_rather_than_skipped() {
        let mut blob = Blob::default();
        blob.int().plain(31, "new", 0);
        let error = Btf::parse(blob.finish()).unwrap_err().to_string();
        assert!(error.contains("type 2") && error.contains("kind 31"), "{error}");
    }

    #[test]
    fn a_circle_of_modifiers_ends() {
        let mut blob = Blob::default();
        blob.plain(CONST, "", 1).composite(STRUCT << 24, "round", &[("member", 1, 0)]);
        let btf = Btf::parse(blob.finish()).unwrap();
        assert!(btf.structure("round").unwrap().offset("member").is_err());
    }

    #[test]
    fn a_structure_that_contains_itself_ends() {
        let mut blob = Blob::default();
        blob.composite(STRUCT << 24, "self", &[("", 1, 8), ("", 1, 8)]);
        let btf = Btf::parse(blob.finish()).unwrap();
        assert!(btf.structure("self").unwrap().offset("member").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..512)) {
            look_everywhere(tail.clone());
            let mut blob = sample()[..24].to_vec();
            blob.extend(tail);
            look_everywhere(blob);
        }

        #[test]
        fn a_damaged_blob_never_panics(places in proptest::collection::vec((0usize..400, any::<u8>()), 1..8)) {
            let mut blob = sample();
            for (at, byte) in places {
                if let Some(place) = blob.get_mut(at) {
                    *place = byte;
                }
            }
            look_everywhere(blob);
        }
    }

    fn look_everywhere(blob: Vec<u8>) {
        let Ok(btf) = Btf::parse(blob) else { return };
        for path in ["id", "start", "cred.val", "gone"] {
            let found = btf.structure("task").and_then(|task| task.offset(path));
            assert!(found.is_ok() || found.is_err_and(|error| !error.to_string().is_empty()));
        }
    }
}
