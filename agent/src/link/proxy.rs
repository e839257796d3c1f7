//! The way through an HTTP proxy: CONNECT, with basic authentication where the proxy asks for it.

use std::fmt;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::config;

/// A proxy and what it wants to hear.
#[derive(Clone)]
pub struct ProxyWay {
    /// `host:port`.
    pub address: String,
    /// The value of its `Proxy-Authorization` header.
    authorization: Option<Zeroizing<String>>,
}

impl fmt::Debug for ProxyWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyWay({})", self.address)
    }
}

/// Why there is no way through the proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The password cannot be read.
    #[error("the proxy's password file {path} cannot be read: {cause}")]
    Password {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The proxy hung up.
    #[error("the proxy {address} ended the connection: {cause}")]
    Io {
        /// Which proxy.
        address: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The proxy said no.
    #[error("the proxy {address} refuses CONNECT to {door}: it answered '{line}'")]
    Refused {
        /// Which proxy.
        address: String,
        /// Where to.
        door: String,
        /// The first line of its answer.
        line: String,
    },
}

/// The longest answer to CONNECT that is read.
const ANSWER_BYTES_MAX: usize = 8 << 10;

impl ProxyWay {
    /// The way that the settings name; none for the direct one.
    pub fn from_config(proxy: &config::Proxy) -> Result<Option<Self>, ProxyError> {
        let Some(address) = proxy.address.clone() else { return Ok(None) };
        let authorization = match (&proxy.user, &proxy.password_file) {
            (Some(user), Some(path)) => Some(authorization(user, path)?),
            (Some(_), None) | (None, _) => None,
        };
        Ok(Some(Self { address, authorization }))
    }
}

fn authorization(user: &str, path: &Path) -> Result<Zeroizing<String>, ProxyError> {
    let password = std::fs::read_to_string(path)
        .map_err(|cause| ProxyError::Password { path: path.display().to_string(), cause })?;
    let pair = Zeroizing::new(format!("{user}:{}", password.trim_end_matches(['\r', '\n'])));
    Ok(Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))))
}

/// Asks the proxy at the other end of `stream` to connect it to a door.
pub(super) async fn connect<S>(stream: &mut S, way: &ProxyWay, door: &str) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let address = way.address.clone();
    let mut request = Zeroizing::new(format!("CONNECT {door} HTTP/1.1\r\nHost: {door}\r\n"));
    if let Some(authorization) = &way.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let answer = async {
        stream.write_all(request.as_bytes()).await?;
        answer(stream).await
    };
    let line = answer.await.map_err(|cause| ProxyError::Io { address: address.clone(), cause })?;
    let mut words = line.split_ascii_whitespace();
    let http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let success = words.next().is_some_and(|code| code.len() == 3 && code.starts_with('2'));
    if http && success {
        return Ok(());
    }
    Err(ProxyError::Refused { address, door: door.to_owned(), line })
}

/// Reads to the end of the answer's head and no byte further: what follows is the collector's.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= ANSWER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the proxy hears, and what comes of its answer; `rest` is left on the stream.
    async fn try_answer(answer: &str, way: &ProxyWay) -> (String, Result<(), String>, Vec<u8>) {
        let (mut agent, mut proxy) = tokio::io::duplex(64 << 10);
        proxy.write_all(answer.as_bytes()).await.unwrap();
        let said = connect(&mut agent, way, "c.example:7443").await.map_err(|e| e.to_string());
        let mut heard = vec![0; 4096];
        let bytes = proxy.read(&mut heard).await.unwrap();
        drop(proxy);
        let mut rest = Vec::new();
        agent.read_to_end(&mut rest).await.unwrap();
        (String::from_utf8(heard[..bytes].to_vec()).unwrap(), said, rest)
    }

    fn way(authorization: Option<Zeroizing<String>>) -> ProxyWay {
        ProxyWay { address: "p:3128".to_owned(), authorization }
    }

    #[tokio::test]
    async fn what_follows_the_answers_head_is_left_for_tls() {
        let (heard, said, rest) =
            try_answer("HTTP/1.1 200 OK\r\nVia: p\r\n\r\nrest", &way(None)).await;
        assert_eq!(heard, "CONNECT c.example:7443 HTTP/1.1\r\nHost: c.example:7443\r\n\r\n");
        assert_eq!((said, rest), (Ok(()), b"rest".to_vec()));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_proxys_words() {
        let (_, said, _) =
            try_answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", &way(None)).await;
        let says = "the proxy p:3128 refuses CONNECT to c.example:7443: it answered \
                    'HTTP/1.1 407 Proxy Authentication Required'";
        assert_eq!(said, Err(says.to_owned()));
        let (_, said, _) = try_answer(&"x".repeat(9000), &way(None)).await;
        let says = "the proxy p:3128 ended the connection: its answer has no end";
        assert_eq!(said, Err(says.to_owned()));
    }

    #[tokio::test]
    async fn the_password_comes_from_its_file_and_does_not_print() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("password");
        std::fs::write(&file, "open sesame\n").unwrap();
        let settings = config::Proxy {
            address: Some("p:3128".to_owned()),
            user: Some("Aladdin".to_owned()),
            password_file: Some(file),
        };
        let way = ProxyWay::from_config(&settings).unwrap().unwrap();
        let (heard, ..) = try_answer("HTTP/1.1 200 OK\r\n\r\n", &way).await;
        // RFC 7617's own example has a space in the password too.
        let line = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(heard.contains(line), "{heard}");
        assert!(!format!("{way:?}").contains("QWx"));
    }
}
