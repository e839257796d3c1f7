//! Seals an archive to its readers as it is made: the key of its chunks to each of them, and the
//! chunks one after the other. The form is that of `cordon_proto::collection::sealed`.
//!
//! One chunk is in memory, however long the archive is.

use std::io::{self, Write};

use cordon_proto::collection::sealed::{
    CHUNK_BYTES, Header, KEY_BYTES, READERS_MAX, SealedKey, TAG_BYTES, nonce,
};
use cordon_proto::command::ActionKind;
use cordon_proto::id::{CommandId, EndpointId, Hash, OperatorId};
use cordon_proto::sign::SealingKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::roster_keeper::Held;
use crate::seal::{Sealed, seal};

/// To whom an archive is sealed, and the key of its chunks. For one archive only: chunks are
/// numbered from nought on.
pub struct Sealing {
    header: Header,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

/// Why an archive cannot be sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealError {
    /// Nobody could open it.
    #[error(
        "nobody whom roster version {0} lets collect has a sealing key, and the command does not \
         allow that evidence leaves the endpoint unsealed"
    )]
    Nobody(u64),
    /// The operating system.
    #[error("the operating system gives no random numbers")]
    Random,
}

impl Sealing {
    /// To everybody whom this roster lets collect and who has a sealing key; none where nobody has
    /// one and the command allows that it goes unsealed then.
    pub fn to_readers(
        held: &Held,
        endpoint: EndpointId,
        (command, command_hash): (CommandId, Hash),
        may_go_unsealed: bool,
    ) -> Result<Option<Self>, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(key.as_mut()).ok().ok_or(SealError::Random)?;
        let roster = held.reference;
        let mut header = Header { endpoint, command, command_hash, roster, readers: Vec::new() };
        let info = header.info();
        let may = held.roster.may(ActionKind::Collect);
        let readers = may
            .filter_map(|operator| reader(&operator.id, operator.sealing.as_ref()?, &info, &key));
        header.readers = readers.take(READERS_MAX).collect();
        if !header.readers.is_empty() {
            return Ok(Some(Self { header, key }));
        }
        if may_go_unsealed { Ok(None) } else { Err(SealError::Nobody(roster.version)) }
    }
}

/// A key that cannot be sealed to costs its owner the evidence, and nobody else.
fn reader(
    operator: &OperatorId,
    to: &SealingKey,
    info: &[u8],
    key: &[u8; KEY_BYTES],
) -> Option<SealedKey> {
    let sealed = seal(to, info, key).ok().and_then(|Sealed { encapsulated, text }| {
        let (operator, text) = (operator.clone(), text.try_into().ok()?);
        Some(SealedKey { operator, key: to.id(), encapsulated, text })
    });
    if sealed.is_none() {
        tracing::error!(%operator, "evidence could not be sealed to an operator");
    }
    sealed
}

/// A sealed archive that is being written.
pub struct Sealer<W: Write> {
    out: W,
    key: LessSafeKey,
    /// SHA-256 of all before the first chunk.
    front: Hash,
    number: u64,
    chunk: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    /// Writes what stands before the chunks.
    pub fn begin(mut out: W, sealing: &Sealing) -> io::Result<Self> {
        let front = sealing.header.to_bytes().map_err(io::Error::other)?;
        out.write_all(&front)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, sealing.key.as_slice()).map_err(unsealed)?;
        let (key, front) = (LessSafeKey::new(key), Hash::of(&front));
        let chunk = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
        Ok(Self { out, key, front, number: 0, chunk })
    }

    /// Takes more of the archive. A chunk goes out only when it is known not to be the last.
    pub fn write(&mut self, mut part: &[u8]) -> io::Result<()> {
        while !part.is_empty() {
            if self.chunk.len() == CHUNK_BYTES {
                self.seal(false)?;
            }
            let taken = part.len().min(CHUNK_BYTES - self.chunk.len());
            let (now, later) = part.split_at(taken);
            self.chunk.extend_from_slice(now);
            part = later;
        }
        Ok(())
    }

    /// Writes the last chunk.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = Nonce::assume_unique_for_key(nonce(self.number, is_last));
        let bound = Aad::from(self.front.0);
        self.key.seal_in_place_append_tag(nonce, bound, &mut self.chunk).map_err(unsealed)?;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        self.number = self.number.saturating_add(1);
        Ok(())
    }
}

fn unsealed(_: Unspecified) -> io::Error {
    io::Error::other("a chunk could not be sealed")
}

#[cfg(test)]
mod tests {
    use cordon_proto::collection::sealed::{self, LEAD_BYTES};
    use cordon_proto::roster::Role;
    use hpke::kem::{Kem, X25519HkdfSha256};
    use hpke::{Deserializable, Serializable};

    use super::*;
    use crate::roster_keeper;

    /// What another implementation seals with the same key under the same header.
    const SAMPLE: &[u8] = include_bytes!("../../../proto/samples/sealed-archive.bin");

    fn sealing_key(seed: u8) -> SealingKey {
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&[seed; 32]).unwrap();
        SealingKey(X25519HkdfSha256::sk_to_pk(&private).to_bytes().into())
    }

    fn held(people: &[(&str, Role, Option<SealingKey>)]) -> Held {
        roster_keeper::tests::held(people, ActionKind::Collect, 1)
    }

    #[track_caller]
    fn check(
        people: &[(&str, Role, Option<SealingKey>)],
        may_go_unsealed: bool,
        expected: Result<Option<&[&str]>, SealError>,
    ) {
        let of = (CommandId(uuid::Uuid::from_u128(7)), Hash::of(b"command"));
        let made = Sealing::to_readers(&held(people), EndpointId::of(b"e"), of, may_go_unsealed);
        let names = |sealing: Sealing| -> Vec<String> {
            sealing.header.readers.iter().map(|one| one.operator.as_str().to_owned()).collect()
        };
        let expected = expected.map(|names| {
            names.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(made.map(|sealing| sealing.map(names)), expected);
    }

    #[test]
    fn everybody_who_may_collect_and_has_a_key_is_a_reader_and_nobody_else() {
        let (ann, eve, cy) = (sealing_key(1), sealing_key(2), sealing_key(3));
        let people = [
            ("ann", Role::Responder, Some(ann)),
            ("bob", Role::Responder, None),
            ("eve", Role::Viewer, Some(eve)),
            ("cy", Role::Responder, Some(cy)),
            ("mallory", Role::Responder, Some(SealingKey([0; 32]))),
        ];
        for may_go_unsealed in [false, true] {
            check(&people, may_go_unsealed, Ok(Some(&["ann", "cy"])));
        }
    }

    #[test]
    fn where_nobody_could_open_it_it_goes_unsealed_only_if_the_command_says_so() {
        let people = [("bob", Role::Responder, None), ("eve", Role::Viewer, Some(sealing_key(2)))];
        check(&people, false, Err(SealError::Nobody(3)));
        check(&people, true, Ok(None));
    }

    fn sealing_of_sample() -> Sealing {
        let header = sealed::header_bytes(SAMPLE.first_chunk().unwrap()).unwrap();
        let header = Header::from_bytes(&SAMPLE[LEAD_BYTES..LEAD_BYTES + header]).unwrap();
        Sealing { header, key: Zeroizing::new([7; KEY_BYTES]) }
    }

    #[test]
    fn it_is_sealed_as_the_protocol_says_byte_for_byte_however_it_comes() {
        let content: Vec<_> =
            (0..CHUNK_BYTES + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for part in [1_000, CHUNK_BYTES, CHUNK_BYTES + 5] {
            let mut sealer = Sealer::begin(Vec::new(), &sealing_of_sample()).unwrap();
            for part in content.chunks(part) {
                sealer.write(part).unwrap();
            }
            assert!(sealer.finish().unwrap() == SAMPLE, "in parts of {part}");
        }
    }

    #[test]
    fn what_ends_with_a_chunk_has_no_empty_one_behind_it_and_nothing_at_all_has() {
        let front = sealing_of_sample().header.to_bytes().unwrap().len();
        let table = [(0, 1), (1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (2 * CHUNK_BYTES, 2)];
        for (bytes, chunks) in table {
            let mut sealer = Sealer::begin(Vec::new(), &sealing_of_sample()).unwrap();
            sealer.write(&vec![9; bytes]).unwrap();
            let sealed = sealer.finish().unwrap();
            assert_eq!(sealed.len(), front + bytes + chunks * TAG_BYTES, "{bytes}");
        }
    }
}
