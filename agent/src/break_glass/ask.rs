//! What `cordon-agent release` and the running agent say to each other, over a socket in the state
//! directory: one question and one answer a connection.
//!
//! The directory is the agent's alone, the socket has mode 0600, and the kernel is asked who called:
//! only the agent's own user is answered.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Caller;
use std::path::Path;
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::event::way_out::CODE_BYTES;
use minicbor::{Decode, Encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use zeroize::Zeroizing;

/// The socket, in the state directory.
pub const SOCKET: &str = "break-glass.sock";

/// A question, and an answer; longer ones are none of ours.
const MESSAGE_BYTES_MAX: u64 = 4096;

/// How long a caller may take to ask.
const ASK_MAX: Duration = Duration::from_secs(5);

/// How long the agent is waited for: longer than it takes to end what stands.
const ANSWER_MAX: Duration = Duration::from_secs(40);

/// How long a right code's caller waits for the end of everything, before he is told that it goes
/// on.
pub const END_MAX: Duration = Duration::from_secs(30);

/// What can be asked.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Question {
    /// How things stand.
    #[n(0)]
    Standing,
    /// Whether this is the code; if it is, everything that stands is ended.
    #[n(1)]
    Try {
        /// The code.
        #[cbor(n(0), with = "minicbor::bytes")]
        code: [u8; CODE_BYTES],
    },
}

/// What is answered.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Answer {
    /// How things stand.
    #[n(0)]
    Standing {
        /// The number of the code that holds; none if none does.
        #[n(0)]
        serial: Option<u64>,
        /// How long until a code is looked at.
        #[n(1)]
        wait_secs: u64,
        /// How many containments stand.
        #[n(2)]
        stand: u64,
        /// Whether a right code was typed and its work is not done.
        #[n(3)]
        under_way: bool,
    },
    /// The code was right, and nothing stands any more.
    #[n(1)]
    Open,
    /// It is not the code.
    #[n(2)]
    Wrong {
        /// How long until the next is looked at.
        #[n(0)]
        wait_secs: u64,
    },
    /// It was not looked at.
    #[n(3)]
    Slowed {
        /// How long until the next is looked at.
        #[n(0)]
        wait_secs: u64,
    },
    /// No code holds.
    #[n(4)]
    NoCode,
    /// The code was right; what stands could not be ended yet, and is tried on.
    #[n(5)]
    GoesOn,
    /// Another code is being looked at.
    #[n(6)]
    Busy,
}

/// Asks the running agent; none if nobody listens.
pub fn ask(path: &Path, question: &Question) -> io::Result<Option<Answer>> {
    let mut stream = match Caller::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]
                .contains(&error.kind()) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ASK_MAX))?;
    stream.write_all(&Zeroizing::new(codec::encode(question)))?;
    stream.shutdown(Shutdown::Write)?;
    let mut bytes = Vec::new();
    stream.take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes)?;
    let answer = codec::decode_lenient(&bytes);
    answer.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Listens; what a dead agent left there is taken away. The caller holds the lock on the state
/// directory.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The next question that somebody may ask, and where its answer goes.
pub async fn next(listener: &UnixListener) -> io::Result<(Question, UnixStream)> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let own = rustix::process::geteuid().as_raw();
        if stream.peer_cred()?.uid() != own {
            continue;
        }
        let mut bytes = Zeroizing::new(Vec::new());
        let mut limited = (&mut stream).take(MESSAGE_BYTES_MAX);
        let read = tokio::time::timeout(ASK_MAX, limited.read_to_end(&mut bytes)).await;
        // Whoever says nothing, or nothing that is a question, is not answered.
        if let Ok(Ok(_)) = read
            && let Ok(question) = codec::decode_strict(&bytes)
        {
            return Ok((question, stream));
        }
    }
}

/// Answers; that nobody listens any more is no failure.
pub async fn answer(mut stream: UnixStream, answer: Answer) {
    let bytes = codec::encode(&answer);
    let written = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    match tokio::time::timeout(ASK_MAX, written).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "whoever asked is gone"),
        Err(_elapsed) => tracing::debug!("whoever asked takes no answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_is_answered_and_what_is_none_is_passed_over() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(SOCKET);
        assert!(ask(&path, &Question::Standing).unwrap().is_none(), "nobody there");
        std::fs::write(&path, b"left by a dead agent").unwrap();
        let listener = listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let asked = path.clone();
        let caller = tokio::task::spawn_blocking(move || {
            let mut noise = Caller::connect(&asked).unwrap();
            noise.write_all(b"GET / HTTP/1.1").unwrap();
            noise.shutdown(Shutdown::Write).unwrap();
            ask(&asked, &Question::Try { code: [7; CODE_BYTES] })
        });
        let (question, stream) = next(&listener).await.unwrap();
        assert_eq!(question, Question::Try { code: [7; CODE_BYTES] });
        answer(stream, Answer::Wrong { wait_secs: 5 }).await;
        assert_eq!(caller.await.unwrap().unwrap(), Some(Answer::Wrong { wait_secs: 5 }));
        drop(listener);
        assert!(ask(&path, &Question::Standing).unwrap().is_none(), "a socket nobody listens on");
    }
}
