//! One command handed to the page, and the signature that comes back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::KeyId;
use cordon_proto::roster::{Operator, OperatorKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::page;
use crate::hex;

/// How long a person has to sign.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// An assertion has some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing to sign with.
    #[error(
        "the roster knows no passkey of {0} that belongs to a page of localhost; `cordon signer \
         --help` says how to make one"
    )]
    NoPasskey(String),
    /// The page.
    #[error(transparent)]
    Serve(#[from] super::ServeError),
    /// The person said no.
    #[error("it was not signed: {0}")]
    Refused(String),
    /// The page's answer.
    #[error("the page answered with something that is no signature")]
    Answer,
    /// Nobody signed.
    #[error("nobody signed within five minutes")]
    Late,
    /// No token could be made.
    #[error("the system gives no random numbers")]
    Random,
}

/// What the page answers.
#[derive(Debug, Deserialize)]
struct Answer {
    key: Option<String>,
    value: Option<String>,
    refused: Option<String>,
}

struct Waiting {
    ask: Value,
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

/// The operator's passkeys that this machine's page can use, by the port that they belong to.
fn usable(operator: &Operator) -> Option<(u16, Vec<KeyId>)> {
    let port_of = |key: &OperatorKey| match key {
        OperatorKey::Passkey { rp_id, origins, .. } if rp_id == "localhost" => {
            origins.iter().find_map(|origin| origin.strip_prefix("http://localhost:")?.parse().ok())
        }
        OperatorKey::Passkey { .. } | OperatorKey::File(_) => None,
    };
    let keys: Vec<(u16, KeyId)> =
        operator.keys.iter().filter_map(|key| Some((port_of(key)?, key.id()))).collect();
    let port = keys.first()?.0;
    Some((port, keys.into_iter().filter(|(of, _)| *of == port).map(|(_, key)| key).collect()))
}

/// Serves the page until one of the operator's passkeys has signed; `tell` gets the address to open.
pub async fn ask(
    payload: &[u8],
    operator: &Operator,
    tell: impl FnOnce(&str) -> std::io::Result<()>,
) -> anyhow::Result<(KeyId, Vec<u8>)> {
    let none = || AskError::NoPasskey(operator.id.to_string());
    let (port, keys) = usable(operator).ok_or_else(none)?;
    let listeners = super::listen(port).await?;
    let token = token()?;
    let (sender, receiver) = oneshot::channel();
    let digits: Vec<_> = keys.iter().map(|key| hex::encode(&key.0)).collect();
    let ask = json!({ "command": URL_SAFE_NO_PAD.encode(payload), "keys": digits });
    let waiting = Arc::new(Waiting { ask, answer: Mutex::new(Some(sender)) });
    let route = axum::Router::new()
        .route(&format!("/ask/{token}"), get(asked).post(answered))
        .layer(DefaultBodyLimit::max(ANSWER_BYTES_MAX))
        .with_state(waiting);
    let router = page::guarded(page::files().merge(route), port);
    tell(&format!("{}/#ask={token}", super::origin(port)))?;
    tokio::select! {
        served = super::serve(listeners, router) => Err(served.err().map_or(AskError::Late, AskError::Serve).into()),
        answer = receiver => Ok(read(&answer.ok().ok_or(AskError::Late)?, &keys)?),
        () = tokio::time::sleep(PATIENCE) => Err(AskError::Late.into()),
    }
}

fn token() -> Result<String, AskError> {
    let mut token = [0; 16];
    SystemRandom::new().fill(&mut token).ok().ok_or(AskError::Random)?;
    Ok(hex::encode(&token))
}

async fn asked(State(waiting): State<Arc<Waiting>>) -> Json<Value> {
    Json(waiting.ask.clone())
}

async fn answered(
    State(waiting): State<Arc<Waiting>>,
    Json(answer): Json<Answer>,
) -> (StatusCode, &'static str) {
    let sender = waiting.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    match sender.map(|sender| sender.send(answer)) {
        Some(Ok(())) => (StatusCode::OK, "the terminal has it\n"),
        Some(Err(_)) | None => (StatusCode::GONE, "the terminal no longer waits\n"),
    }
}

fn read(answer: &Answer, keys: &[KeyId]) -> Result<(KeyId, Vec<u8>), AskError> {
    if let Some(why) = &answer.refused {
        let why: String = why.chars().take(200).collect();
        return Err(AskError::Refused(crate::output::text::plain(&why).into_owned()));
    }
    let key = answer.key.as_deref().and_then(hex::decode);
    let key = keys.iter().find(|known| key.as_deref() == Some(known.0.as_slice()));
    let value = answer.value.as_deref().and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
    Ok((*key.ok_or(AskError::Answer)?, value.ok_or(AskError::Answer)?))
}

#[cfg(test)]
mod tests {
    use cordon_proto::roster::Role;
    use cordon_proto::sign::PasskeyAlgorithm;

    use super::*;

    fn passkey(fill: u8, rp_id: &str, origin: &str) -> OperatorKey {
        OperatorKey::Passkey {
            algorithm: PasskeyAlgorithm::Es256,
            public: vec![fill; 65],
            rp_id: rp_id.to_owned(),
            origins: vec![origin.to_owned()],
        }
    }

    fn ann(keys: Vec<OperatorKey>) -> Operator {
        let roles = vec![Role::Responder];
        Operator { id: "ann".parse().unwrap(), keys, roles, sealing: None }
    }

    #[test]
    fn only_passkeys_of_this_machines_page_are_asked_for() {
        let here = passkey(1, "localhost", "http://localhost:9443");
        let there = passkey(2, "sign.example", "https://sign.example");
        let other = passkey(3, "localhost", "http://localhost:9999");
        assert_eq!(usable(&ann(vec![there.clone()])), None);
        let found = usable(&ann(vec![there, here.clone(), other]));
        assert_eq!(found, Some((9443, vec![here.id()])));
    }

    #[track_caller]
    fn check(answer: &str, says: Result<(KeyId, Vec<u8>), &str>) {
        let answer: Answer = serde_json::from_str(answer).unwrap();
        let read = read(&answer, &[KeyId([7; 32])]).map_err(|error| error.to_string());
        assert_eq!(read, says.map_err(str::to_owned));
    }

    #[test]
    fn an_answer_is_a_signature_by_a_key_that_was_asked_or_a_refusal() {
        let (seven, eight) = ("07".repeat(32), "08".repeat(32));
        let none = "the page answered with something that is no signature";
        check(&format!(r#"{{"key":"{seven}","value":"AQI"}}"#), Ok((KeyId([7; 32]), vec![1, 2])));
        check(&format!(r#"{{"key":"{eight}","value":"AQI"}}"#), Err(none));
        check(&format!(r#"{{"key":"{seven}","value":"?"}}"#), Err(none));
        check("{}", Err(none));
        check(r#"{"refused":"no\u001b"}"#, Err("it was not signed: no\\u{1b}"));
    }
}
