//! The people's door and those who do not behave at it: slow, endless, over every limit. Each is told
//! or let go in time, costs little meanwhile, and keeps nobody else out.

use std::time::Duration;

use cordon_collector::config::Patience;
use cordon_collector::store::LogOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::endpoint::Endpoint;
use crate::stage::{Stage, client};

const SIGN_IN: &str = "POST /api/v1/sign-in/challenge HTTP/1.1\r\nHost: localhost\r\n";
const HEALTH: &[u8] = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Longer than any test waits, but for the one that is tried.
const LONG: Duration = Duration::from_secs(600);

/// Short enough to wait for, long enough for a machine that is busy.
const SHORT: Duration = Duration::from_millis(500);

async fn connect(stage: &Stage) -> TlsStream<TcpStream> {
    Endpoint::new(1, &client("acme")).tls(stage, stage.people).await.unwrap()
}

/// All that comes until the other end hangs up, politely or not.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        said.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(said).unwrap()
}

/// Whoever behaves gets an answer.
async fn behave(stage: &Stage) {
    let mut stream = connect(stage).await;
    stream.write_all(HEALTH).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

/// Says something and then no more; what the collector says until it hangs up.
async fn stall(patience: Patience, words: &[u8]) -> String {
    let stage = Stage::open_with(LogOptions::default(), |config| config.patience = patience).await;
    let mut slow = connect(&stage).await;
    slow.write_all(words).await.unwrap();
    behave(&stage).await;
    let said = rest(&mut slow).await;
    behave(&stage).await;
    said
}

#[tokio::test]
async fn a_head_that_never_ends_a_body_that_never_comes_and_an_idle_line_are_given_up() {
    let (handshake, head, answer) = (LONG, LONG, LONG);
    let short_head = Patience { handshake, head: SHORT, answer };
    let said = stall(short_head, b"GET /api/v1/health HTTP/1.1\r\nHost: loc").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    let said = stall(short_head, HEALTH).await;
    assert_eq!(said.matches("HTTP/1.1").count(), 1, "an idle line ends after its answer: {said}");
    let short_answer = Patience { handshake, head, answer: SHORT };
    let body = format!("{SIGN_IN}Content-Length: 100\r\n\r\n{{\"key\":");
    let said = stall(short_answer, body.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("no answer within"), "{said}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let patience = Patience { handshake: SHORT, head: LONG, answer: LONG };
    let stage = Stage::open_with(LogOptions::default(), |config| config.patience = patience).await;
    for words in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut silent = TcpStream::connect(stage.people).await.unwrap();
        silent.write_all(words).await.unwrap();
        assert_eq!(rest(&mut silent).await, "");
    }
    behave(&stage).await;
}

#[tokio::test]
async fn what_is_over_the_limit_is_refused_before_all_of_it_came() {
    let stage = Stage::open().await;
    let chunk = [b"8000\r\n", &vec![b'x'; 0x8000][..], b"\r\n"].concat();
    // Neither the length that is said nor the one that is not: a body, a head, a line without end.
    for (head, more, says) in [
        (format!("{SIGN_IN}Content-Length: 99999999999\r\n\r\n"), &chunk[..], "413"),
        (format!("{SIGN_IN}Transfer-Encoding: chunked\r\n\r\n"), &chunk[..], "413"),
        (format!("{SIGN_IN}X-Long: "), &[b'x'; 0x8000][..], "431"),
        ("GET /".to_owned(), &[b'x'; 0x8000][..], "431"),
    ] {
        let mut stream = connect(&stage).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = tokio::io::split(stream);
        let endless = async {
            // 64 MiB; what the collector does not read stops far below.
            for _ in 0..2048 {
                if writing.write_all(more).await.is_err() {
                    return true;
                }
            }
            false
        };
        // It may say so while we still write, and hang up on the rest.
        let (said, stopped) = tokio::join!(rest(&mut reading), endless);
        assert!(stopped, "{says}: all of it was taken");
        let told = said.starts_with(&format!("HTTP/1.1 {says}"));
        // A reset line loses what was said on it.
        assert!(told || said.is_empty(), "{says}: {said}");
    }
    behave(&stage).await;
}

#[tokio::test]
async fn one_address_does_not_take_every_place() {
    let limit = |config: &mut cordon_collector::config::Config| config.people_per_address_max = 2;
    let stage = Stage::open_with(LogOptions::default(), limit).await;
    let mut held = [connect(&stage).await, connect(&stage).await];
    for stream in &mut held {
        stream.write_all(HEALTH).await.unwrap();
        stream.read_exact(&mut [0; 15]).await.unwrap();
    }
    let mut third = TcpStream::connect(stage.people).await.unwrap();
    assert_eq!(rest(&mut third).await, "", "closed without a handshake");
    // Who comes from elsewhere has a place.
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let elsewhere = elsewhere.connect(stage.people).await.unwrap();
    let person = Endpoint::new(1, &client("acme"));
    assert!(person.tls_over(&stage, elsewhere).await.is_ok());
}
