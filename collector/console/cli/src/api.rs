//! The collector's API, as this program speaks it: one pinned connection, a signed-in session, and
//! a clear sentence for everything that goes wrong.

pub mod error;
pub mod model;
pub mod preview;
pub mod session;
pub mod sse;
mod tls;

use std::cell::RefCell;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;
use zeroize::Zeroizing;

pub use error::ApiError;
use session::{Session, SessionStore};

use crate::config::{self, Profile};
use crate::context::OperatorSigner;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take, from the first byte sent to the last one read.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a stream may be silent; the collector sends a sign of life more often.
const SILENCE: Duration = Duration::from_secs(90);

/// The longest JSON answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A collector, signed in to as soon as a request needs it.
pub struct Api<'a> {
    http: reqwest::Client,
    base: Url,
    profile: &'a Profile,
    signer: &'a OperatorSigner,
    store: SessionStore,
    session: RefCell<Option<Session>>,
    /// Takes the place of signing in.
    token: Option<Zeroizing<String>>,
}

/// What is asked, apart from where.
enum Body {
    Nothing,
    Json(Value),
}

impl<'a> Api<'a> {
    /// Prepares to talk to a profile's collector; nothing is sent yet.
    pub fn new(
        profile: &'a Profile,
        signer: &'a OperatorSigner,
        store: SessionStore,
    ) -> Result<Self, ApiError> {
        let host = config::host(&profile.collector).map_err(ApiError::local)?;
        let base = Url::parse(&profile.collector).map_err(ApiError::local)?;
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::pinned(profile.pin).map_err(ApiError::local)?)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("cordon/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&host) {
            client = client.no_proxy();
        }
        let http = client.build().map_err(ApiError::local)?;
        let session = RefCell::new(store.load(signer.key_id()));
        Ok(Self { http, base, profile, signer, store, session, token: None })
    }

    /// The same with an API token: nobody signs in, and what the token may not do is refused.
    #[must_use]
    pub fn with_token(mut self, token: Option<Zeroizing<String>>) -> Self {
        self.token = token;
        self
    }

    /// The address in sentences.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.profile.collector
    }

    /// Asks for JSON.
    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, ApiError> {
        let answer = self.send(Method::GET, path, query, &Body::Nothing, Some(ANSWER)).await?;
        self.json(answer).await
    }

    /// Hands JSON over and gets JSON back.
    pub async fn post(&self, path: &[&str], body: Value) -> Result<Value, ApiError> {
        let answer = self.send(Method::POST, path, &[], &Body::Json(body), Some(ANSWER)).await?;
        self.json(answer).await
    }

    /// Puts a document in its place.
    pub async fn put(&self, path: &[&str], body: Value) -> Result<(), ApiError> {
        self.send(Method::PUT, path, &[], &Body::Json(body), Some(ANSWER)).await.map(drop)
    }

    /// Changes something in part; answers how it stands.
    pub async fn patch(&self, path: &[&str], body: Value) -> Result<Value, ApiError> {
        let answer = self.send(Method::PATCH, path, &[], &Body::Json(body), Some(ANSWER)).await?;
        self.json(answer).await
    }

    /// Asks for text that is not JSON.
    pub async fn get_text(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        bytes_max: usize,
    ) -> Result<String, ApiError> {
        let answer = self.send(Method::GET, path, query, &Body::Nothing, None).await?;
        let bytes = self.bytes(answer, bytes_max).await?;
        String::from_utf8(bytes).map_err(|e| ApiError::answer(self.address(), e))
    }

    /// Takes something away.
    pub async fn delete(&self, path: &[&str]) -> Result<(), ApiError> {
        self.send(Method::DELETE, path, &[], &Body::Nothing, Some(ANSWER)).await.map(drop)
    }

    /// Takes away what a query describes; answers what the collector says of it.
    pub async fn delete_where(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Value, ApiError> {
        let answer = self.send(Method::DELETE, path, query, &Body::Nothing, Some(ANSWER)).await?;
        self.json(answer).await
    }

    /// Hands JSON over without signing in, where what is handed over is itself the way in.
    pub async fn post_unsigned(&self, path: &[&str], body: Value) -> Result<Value, ApiError> {
        let url = self.url(path, &[]);
        let answer = self.carry(self.http.post(url).timeout(ANSWER).json(&body)).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let detail = self.problem(answer).await.sentence();
            return Err(ApiError::Denied { detail });
        }
        self.json(self.accepted(answer).await?).await
    }

    /// Asks for bytes that may take as long as they keep coming.
    pub async fn post_for_stream(&self, path: &[&str], body: Value) -> Result<Response, ApiError> {
        self.send(Method::POST, path, &[], &Body::Json(body), None).await
    }

    /// Asks for bytes from a place in them on; they may take as long as they keep coming.
    pub async fn get_for_stream(&self, path: &[&str], first: u64) -> Result<Response, ApiError> {
        let url = self.url(path, &[]);
        self.signed_in(|| {
            let request = self.http.get(url.clone());
            if first == 0 { request } else { request.header("range", format!("bytes={first}-")) }
        })
        .await
    }

    /// Opens a stream of events, after `last` if something was read before.
    pub async fn stream(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        last: Option<&str>,
    ) -> Result<Response, ApiError> {
        let url = self.url(path, query);
        let open = |http: &reqwest::Client| {
            let mut request = http.get(url.clone()).header("accept", "text/event-stream");
            if let Some(last) = last {
                request = request.header("last-event-id", last);
            }
            request
        };
        self.signed_in(|| open(&self.http)).await
    }

    /// Every item of a list that comes in pages, up to a limit; answers whether there are more.
    pub async fn list(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        items_max: usize,
    ) -> Result<(Vec<Value>, bool), ApiError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page = model::page(self.get(path, &query).await?);
            let page = page.map_err(|e| ApiError::answer(self.address(), e))?;
            items.extend(page.items);
            if items.len() >= items_max {
                let more = items.len() > items_max || page.next.is_some();
                items.truncate(items_max);
                return Ok((items, more));
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok((items, false)),
            }
        }
    }

    /// Reads an answer into a shape.
    pub fn read<T: serde::de::DeserializeOwned>(&self, value: Value) -> Result<T, ApiError> {
        serde_json::from_value(value).map_err(|e| ApiError::answer(self.address(), e))
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: &Body,
        within: Option<Duration>,
    ) -> Result<Response, ApiError> {
        let url = self.url(path, query);
        // Whatever lies between and sends a request twice has it done once.
        let key = (method != Method::GET).then(|| format!("\"{}\"", uuid::Uuid::new_v4()));
        self.signed_in(|| {
            let mut request = self.http.request(method.clone(), url.clone());
            if let Some(key) = &key {
                request = request.header("idempotency-key", key);
            }
            if let Some(within) = within {
                request = request.timeout(within);
            }
            match body {
                Body::Nothing => request,
                Body::Json(value) => request.json(value),
            }
        })
        .await
    }

    /// Sends a request as the signed-in operator; signs in if there is no session or it ended.
    async fn signed_in(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Response, ApiError> {
        if let Some(token) = &self.token {
            let answer = self.carry(request().bearer_auth(token.as_str())).await?;
            if answer.status() == StatusCode::UNAUTHORIZED {
                let detail = self.problem(answer).await.sentence();
                return Err(ApiError::Token { detail });
            }
            return self.accepted(answer).await;
        }
        let kept = self.session.borrow().as_ref().map(|session| session.token.clone());
        if let Some(token) = kept {
            let answer = self.carry(request().bearer_auth(token.as_str())).await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return self.accepted(answer).await;
            }
        }
        let token = self.sign_in().await?;
        let answer = self.carry(request().bearer_auth(token.as_str())).await?;
        self.accepted(answer).await
    }

    async fn sign_in(&self) -> Result<Zeroizing<String>, ApiError> {
        let key_id = self.signer.key_id();
        let key = serde_json::json!({ "key": key_id });
        let url = self.url(&["sign-in", "challenge"], &[]);
        let answer = self.carry(self.http.post(url).timeout(ANSWER).json(&key)).await?;
        let challenge = self.json(self.sign_in_accepted(answer).await?).await?;
        let challenge = session::challenge(&challenge);
        let challenge = challenge.map_err(|e| ApiError::answer(self.address(), e))?;
        let key = self.signer.key().map_err(ApiError::local)?;
        let body = session::answer(&challenge, self.profile.pin, key);
        let url = self.url(&["sign-in"], &[]);
        let answer = self.carry(self.http.post(url).timeout(ANSWER).json(&body)).await?;
        let granted = self.json(self.sign_in_accepted(answer).await?).await?;
        let session = Session::granted(granted, key_id, crate::clock::now_ns());
        let session = session.map_err(|e| ApiError::answer(self.address(), e))?;
        self.store.save(&session).map_err(ApiError::local)?;
        let token = session.token.clone();
        *self.session.borrow_mut() = Some(session);
        Ok(token)
    }

    async fn carry(&self, request: reqwest::RequestBuilder) -> Result<Response, ApiError> {
        request.send().await.map_err(|e| error::of_transport(self.address(), &e))
    }

    async fn sign_in_accepted(&self, answer: Response) -> Result<Response, ApiError> {
        let refused = matches!(
            answer.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        );
        if !refused {
            return self.accepted(answer).await;
        }
        let detail = self.problem(answer).await.sentence();
        Err(ApiError::NotInRoster { key: self.signer.key_id(), detail })
    }

    async fn accepted(&self, answer: Response) -> Result<Response, ApiError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let sentence = self.problem(answer).await.sentence();
        Err(match status {
            StatusCode::UNAUTHORIZED => ApiError::SignIn { detail: sentence },
            StatusCode::FORBIDDEN => ApiError::Denied { detail: sentence },
            StatusCode::NOT_FOUND => ApiError::NotFound { detail: sentence },
            status => ApiError::Problem { status: status.as_u16(), detail: sentence },
        })
    }

    async fn problem(&self, answer: Response) -> model::Problem {
        let value = self.json(answer).await.ok();
        value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }

    async fn json(&self, answer: Response) -> Result<Value, ApiError> {
        let bytes = self.bytes(answer, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|e| ApiError::answer(self.address(), e))
    }

    async fn bytes(&self, mut answer: Response, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut answer).await? {
            if bytes.len() + chunk.len() > bytes_max {
                let sentence = format!("it is longer than {bytes_max} bytes");
                return Err(ApiError::Answer {
                    address: self.address().to_owned(),
                    cause: sentence.into(),
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The next bytes of a stream; none at its end.
    pub async fn chunk(&self, answer: &mut Response) -> Result<Option<Vec<u8>>, ApiError> {
        let chunk = answer.chunk().await.map_err(|e| error::of_transport(self.address(), &e))?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
