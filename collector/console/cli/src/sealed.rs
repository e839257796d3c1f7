//! Opens a sealed archive of evidence with an operator's key, a chunk at a time. A chunk is written
//! only once it is found to be what was sealed in its place; whether the whole is what the endpoint
//! signed is for the caller to compare.

use std::io::{self, Read, Write};

use cordon_proto::collection::Collected;
use cordon_proto::collection::sealed::{
    CHUNK_BYTES, Header, HeaderError, KEY_BYTES, LEAD_BYTES, TAG_BYTES, header_bytes, nonce,
};
use cordon_proto::id::Hash;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::sealing::{OpenError, OpeningKey};

/// Why a sealed archive was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// Its front is not one.
    #[error("it is no sealed archive: {0}")]
    Header(#[from] HeaderError),
    /// Of another endpoint, or for another command.
    #[error("it is another archive than the one that its endpoint signed")]
    Other,
    /// Sealed to others.
    #[error("it is sealed to {0}, and not to your key")]
    NotMine(String),
    /// Sealed, and not to be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It ends too early.
    #[error("it is cut short after {0} whole parts")]
    CutShort(u64),
    /// A part is not what was sealed there.
    #[error(
        "part {0} of it is not what was sealed there: it was changed, cut, or stands in another's place"
    )]
    Changed(u64),
    /// It goes on after its end.
    #[error("something follows behind its end, which is part {0}")]
    Longer(u64),
    /// Reading or writing failed.
    #[error("it cannot be copied: {0}")]
    Io(#[from] io::Error),
}

/// Reads the front of a sealed archive, with the hash that every chunk is bound to.
pub fn front(from: &mut impl Read) -> Result<(Header, Hash), SealedError> {
    let mut lead = [0; LEAD_BYTES];
    read_exact(from, &mut lead)?;
    let mut header = vec![0; header_bytes(&lead)?];
    read_exact(from, &mut header)?;
    Ok((Header::from_bytes(&header)?, Hash::of(&[lead.as_slice(), &header].concat())))
}

/// Opens the archive that this endpoint signed for. Two chunks are in memory.
pub fn open(
    from: &mut impl Read,
    to: &mut impl Write,
    key: &OpeningKey,
    signed: &Collected,
) -> Result<(), SealedError> {
    let (header, front) = front(from)?;
    let Collected { endpoint, command, command_hash, .. } = *signed;
    if (header.endpoint, header.command, header.command_hash) != (endpoint, command, command_hash) {
        return Err(SealedError::Other);
    }
    let sealed = header.sealed_to(&key.sealing()).ok_or_else(|| {
        let names: Vec<_> = header.readers.iter().map(|one| one.operator.as_str()).collect();
        SealedError::NotMine(names.join(", "))
    })?;
    let key = key.open_key(&sealed.encapsulated, &header.info(), &sealed.text)?;
    chunks(from, to, &key, front)
}

fn chunks(
    from: &mut impl Read,
    to: &mut impl Write,
    key: &[u8; KEY_BYTES],
    front: Hash,
) -> Result<(), SealedError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok().ok_or(OpenError::KeyLength)?;
    let key = LessSafeKey::new(key);
    let mut chunk = next(from)?;
    let mut number = 0_u64;
    loop {
        let following = next(from)?;
        let is_last = following.is_empty();
        let opens = |is_last| opened(&key, front, number, is_last, &chunk);
        let plain = opens(is_last).ok_or_else(|| match (is_last, opens(!is_last)) {
            (true, _) if chunk.is_empty() => SealedError::CutShort(number),
            (true, Some(_)) => SealedError::CutShort(number.saturating_add(1)),
            (false, Some(_)) => SealedError::Longer(number.saturating_add(1)),
            (_, None) => SealedError::Changed(number.saturating_add(1)),
        })?;
        if is_last && plain.is_empty() && number > 0 {
            // Whoever seals ends with the last bytes: there is one form of each archive.
            return Err(SealedError::Changed(number.saturating_add(1)));
        }
        to.write_all(&plain)?;
        if is_last {
            return Ok(());
        }
        chunk = following;
        number = number.saturating_add(1);
    }
}

fn opened(
    key: &LessSafeKey,
    front: Hash,
    number: u64,
    is_last: bool,
    chunk: &[u8],
) -> Option<Vec<u8>> {
    let mut bytes = chunk.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce(number, is_last));
    let length = key.open_in_place(nonce, Aad::from(front.0), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// The next chunk as it is sealed: shorter than others only at the end, and empty behind it.
fn next(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let bytes_max = u64::try_from(CHUNK_BYTES + TAG_BYTES).unwrap_or(u64::MAX);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
    from.take(bytes_max).read_to_end(&mut chunk)?;
    Ok(chunk)
}

fn read_exact(from: &mut impl Read, into: &mut [u8]) -> Result<(), SealedError> {
    from.read_exact(into).map_err(|error| {
        let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
        if is_cut { SealedError::CutShort(0) } else { SealedError::Io(error) }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What another implementation sealed; the key of its chunks is 32 times 7.
    const SAMPLE: &[u8] = include_bytes!("../../../../proto/samples/sealed-archive.bin");
    const WHOLE: usize = CHUNK_BYTES + TAG_BYTES;

    fn read(sealed: &[u8], key: [u8; KEY_BYTES]) -> Result<Vec<u8>, SealedError> {
        let (mut from, mut to) = (sealed, Vec::new());
        let (_, front) = front(&mut from)?;
        chunks(&mut from, &mut to, &key, front)?;
        Ok(to)
    }

    fn content() -> Vec<u8> {
        (0..CHUNK_BYTES + 5).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    /// Where the first chunk begins.
    fn begins() -> usize {
        LEAD_BYTES + header_bytes(SAMPLE.first_chunk().unwrap()).unwrap()
    }

    #[test]
    fn what_was_sealed_by_the_protocol_opens_byte_for_byte_and_with_no_other_key() {
        assert!(read(SAMPLE, [7; KEY_BYTES]).unwrap() == content());
        assert!(matches!(read(SAMPLE, [8; KEY_BYTES]), Err(SealedError::Changed(1))));
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<u8>), says: &str) {
        let mut sealed = SAMPLE.to_vec();
        change(&mut sealed);
        let said = read(&sealed, [7; KEY_BYTES]).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }

    #[test]
    fn every_change_shows_and_says_where() {
        let first = begins();
        let second = first + WHOLE;
        check(|sealed| sealed[first + 9] ^= 1, "part 1 of it is not what was sealed");
        check(|sealed| sealed[second] ^= 1, "part 2 of it is not what was sealed");
        check(|sealed| sealed[LEAD_BYTES + 40] ^= 1, "part 1 of it is not what was sealed");
        check(|sealed| sealed[0] ^= 1, "it is no sealed archive");
        check(|sealed| sealed.truncate(second), "cut short after 1 whole parts");
        check(|sealed| sealed.truncate(second + 18), "part 2 of it");
        check(|sealed| sealed.truncate(first), "cut short after 0 whole parts");
        check(|sealed| sealed.truncate(first - 1), "cut short after 0 whole parts");
        check(|sealed| sealed.push(0), "part 2 of it");
        check(|sealed| sealed.extend_from_slice(&[0; WHOLE]), "part 2 of it");
        check(|sealed| drop(sealed.drain(first..second)), "part 1 of it");
        let doubled = |sealed: &mut Vec<u8>| {
            let again = sealed[first..second].to_vec();
            drop(sealed.splice(second..second, again));
        };
        check(doubled, "part 2 of it is not what was sealed");
    }

    /// An archive of three chunks whose first two are exchanged, and one that goes on behind its end.
    #[test]
    fn chunks_that_are_exchanged_or_follow_the_end_show() {
        let front = Hash::of(b"front");
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; KEY_BYTES]).unwrap());
        let seal = |number, is_last, bytes: usize| {
            let mut chunk = vec![u8::try_from(number).unwrap(); bytes];
            let nonce = Nonce::assume_unique_for_key(nonce(number, is_last));
            key.seal_in_place_append_tag(nonce, Aad::from(front.0), &mut chunk).unwrap();
            chunk
        };
        let check = |parts: &[&[u8]]| {
            let sealed = parts.concat();
            let opened = chunks(&mut sealed.as_slice(), &mut Vec::new(), &[7; KEY_BYTES], front);
            opened.map_or_else(|error| error.to_string(), |()| "opened".to_owned())
        };
        let (one, two) = (seal(0, false, CHUNK_BYTES), seal(1, false, CHUNK_BYTES));
        let (last, early, empty) = (seal(2, true, 9), seal(0, true, CHUNK_BYTES), seal(2, true, 0));
        assert_eq!(check(&[&one, &two, &last]), "opened");
        assert!(check(&[&two, &one, &last]).starts_with("part 1 of it"));
        assert!(check(&[&one, &last]).starts_with("part 2 of it"));
        assert_eq!(
            check(&[&early, &two, &last]),
            "something follows behind its end, which is part 1"
        );
        assert!(check(&[&one, &two, &empty]).starts_with("part 3 of it"), "no empty end");
        assert_eq!(check(&[]), "it is cut short after 0 whole parts");
        assert_eq!(check(&[&seal(0, true, 0)]), "opened", "nothing at all, sealed");
    }

    proptest! {
        #[test]
        fn any_bytes_open_or_are_refused_and_nothing_but_the_sample_opens(
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
            cut in any::<prop::sample::Index>(),
            bytes in any::<Vec<u8>>(),
        ) {
            drop(read(&bytes, [7; KEY_BYTES]));
            let mut changed = SAMPLE.to_vec();
            changed[at.index(SAMPLE.len())] ^= flip;
            prop_assert!(read(&changed, [7; KEY_BYTES]).is_err());
            prop_assert!(read(&SAMPLE[..cut.index(SAMPLE.len())], [7; KEY_BYTES]).is_err());
        }
    }
}
