//! What is asked of the agent, or of the supervisor that holds in its place, by programs of the
//! same machine: over a socket that only root can open, one question and one answer a connection.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_proto::code::Code;
use cordon_proto::{codec, limits};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::config::Config;

/// A signed command, and what is around it.
const FRAME_BYTES_MAX: usize = limits::DOCUMENT_BYTES_MAX + 1024;
/// How long either end waits for the other's bytes. Letting back takes far less.
pub const TALK_MAX: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Ask {
    /// An agent starts: give up the lock and the rules until this connection is closed.
    #[n(0)]
    StandAside,
    /// Judge and obey this signed release.
    #[n(1)]
    Release(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Say whether a break-glass code can be typed, and which one.
    #[n(2)]
    MayType,
    /// Judge this break-glass code; end everything that stands if it is the one.
    #[n(3)]
    Code(#[cbor(n(0), with = "code_bytes")] Code),
}

/// A code, wiped where it passes.
mod code_bytes {
    use cordon_proto::code::Code;
    use minicbor::bytes::{DecodeBytes, EncodeBytes};
    use minicbor::decode::Decoder;
    use minicbor::encode::{self, Encoder, Write};
    use zeroize::Zeroizing;

    pub(super) fn encode<C, W: Write>(
        code: &Code,
        to: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        code.bytes().encode_bytes(to, context)
    }

    pub(super) fn decode<C>(
        from: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Code, minicbor::decode::Error> {
        Ok(Code::new(Zeroizing::new(DecodeBytes::decode_bytes(from, context)?)))
    }
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Answer {
    /// Whether it was done.
    #[n(0)]
    pub done: bool,
    /// In words.
    #[n(1)]
    pub says: String,
}

impl Answer {
    /// It was done.
    #[must_use]
    pub fn done(says: impl Into<String>) -> Self {
        Self { done: true, says: says.into() }
    }

    /// It was not.
    #[must_use]
    pub fn refused(says: impl Into<String>) -> Self {
        Self { done: false, says: says.into() }
    }
}

/// Where the agent of these settings listens. Agents that keep their state elsewhere than the
/// service does keep their sockets there, too.
#[must_use]
pub fn agent_socket(config: &Config) -> PathBuf {
    socket(config, "/run/cordon-agent/control.sock", "control.sock")
}

/// Where the supervisor listens.
#[must_use]
pub fn hold_socket(config: &Config) -> PathBuf {
    socket(config, "/run/cordon-hold/control.sock", "hold.sock")
}

fn socket(config: &Config, service: &str, beside: &str) -> PathBuf {
    if config.state_dir == Config::default().state_dir {
        return PathBuf::from(service);
    }
    config.state_dir.join(beside)
}

/// Listens, in place of one that has ended. For root alone: the folder around is private, too.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path) {
        Ok(_somebody) => return Err(io::Error::from(io::ErrorKind::AddrInUse)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_nobody) => std::fs::remove_file(path)?,
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Asks whoever listens there; the connection goes with the answer. None if nobody does.
pub fn ask(path: &Path, ask: &Ask) -> io::Result<Option<(Answer, UnixStream)>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    bound(&stream)?;
    write(&mut stream, ask)?;
    let answer = read(&mut stream)?;
    Ok(Some((answer, stream)))
}

/// Hears what is asked on a connection that was taken.
pub fn hear(stream: &mut UnixStream) -> io::Result<Ask> {
    bound(stream)?;
    read(stream)
}

/// Answers.
pub fn answer(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    write(stream, answer)
}

fn bound(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TALK_MAX))?;
    stream.set_write_timeout(Some(TALK_MAX))
}

fn write<T: Encode<()>>(to: &mut impl Write, value: &T) -> io::Result<()> {
    let bytes = Zeroizing::new(codec::encode(value));
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&Zeroizing::new([&length.to_be_bytes()[..], &bytes].concat()))
}

fn read<T>(from: &mut impl Read) -> io::Result<T>
where
    T: for<'a> Decode<'a, ()> + Encode<()>,
{
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!("{length} bytes are more than {FRAME_BYTES_MAX}")));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut bytes)?;
    codec::decode_strict(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_is_answered_and_the_connection_stays_until_it_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        assert!(ask(&path, &Ask::StandAside).unwrap().is_none());
        let listener = listen(&path).unwrap();
        let answerer = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let asked = hear(&mut stream).unwrap();
            answer(&mut stream, &Answer::done("so be it")).unwrap();
            (asked, stream.read(&mut [0]).unwrap())
        });
        let (answer, stream) = ask(&path, &Ask::Release(b"signed".to_vec())).unwrap().unwrap();
        assert_eq!(answer, Answer::done("so be it"));
        drop(stream);
        assert_eq!(answerer.join().unwrap(), (Ask::Release(b"signed".to_vec()), 0));
    }

    #[test]
    fn a_code_arrives_whole_and_shows_itself_to_nobody_on_the_way() {
        let code = Ask::Code(Code::from_text("7K2M-QX9D-04TA-ZZ3P").unwrap());
        let mut bytes = Vec::new();
        write(&mut bytes, &code).unwrap();
        assert_eq!(read::<Ask>(&mut bytes.as_slice()).unwrap(), code);
        assert_eq!(format!("{code:?}"), "Code(Code(…))");
    }

    #[test]
    fn what_a_dead_one_left_is_replaced_and_a_living_one_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        drop(listen(&path).unwrap());
        let _living = listen(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much_for_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(read::<Ask>(&mut bytes.as_slice()));
        }
    }
}
