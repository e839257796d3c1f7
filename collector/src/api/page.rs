//! What requests and answers share: reading a query, a path or a body, and giving a page.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Problem};

/// Things on a page when the asker does not say.
const LIMIT_DEFAULT: usize = 100;

/// Things on a page at most.
const LIMIT_MAX: usize = 500;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The things.
    pub(crate) items: Vec<T>,
    /// Give this as `cursor` for what follows; none at the end.
    pub(crate) next: Option<String>,
}

/// Which part of a list whose cursors are names.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageAsked {
    /// What an earlier page gave as `next`.
    cursor: Option<String>,
    /// At most so many, up to 500; 100 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl PageAsked {
    /// The same where a list is asked for more than its part.
    pub(crate) fn new(cursor: Option<String>, limit: Option<usize>) -> Self {
        Self { cursor, limit }
    }

    /// After which name, and how many.
    pub(crate) fn read(self) -> (String, usize) {
        (self.cursor.unwrap_or_default(), limit(self.limit))
    }
}

impl<T> Page<T> {
    /// A page of a list that is whole and in order of its names, which are its cursors.
    pub(crate) fn part(
        items: impl IntoIterator<Item = T>,
        asked: PageAsked,
        name: impl Fn(&T) -> String,
    ) -> Self {
        let (after, limit) = asked.read();
        let rest = items.into_iter().filter(|item| after.is_empty() || name(item) > after);
        Self::cut(rest.take(limit + 1).collect(), limit, name)
    }

    /// A page of a list that is whole, in an order of its own; a name that is gone begins it anew.
    pub(crate) fn following(items: Vec<T>, asked: PageAsked, name: impl Fn(&T) -> String) -> Self {
        let (after, limit) = asked.read();
        let passed = items.iter().position(|item| name(item) == after).map_or(0, |at| at + 1);
        let rest = items.into_iter().skip(passed).take(limit + 1);
        Self::cut(rest.collect(), limit, name)
    }

    /// Makes a page from one thing more than fits, if there is one more.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

/// How many things the asker wants, within bounds.
pub(crate) fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

/// The part of a request after the question mark.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(read)) => Ok(Self(read)),
            Err(error) => Err(Problem::unreadable(error.body_text())),
        }
    }
}

/// A body that is read once it is clear that the asker may send one.
pub(crate) struct Body(Bytes);

impl FromRequest<App> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        match Bytes::from_request(request, app).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::new(error.status(), "the body is longer than this route takes"))
            }
            Err(error) => Err(Problem::unreadable(error.body_text())),
        }
    }
}

impl Body {
    /// Reads it as JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // A list would be read as the members of an object in their order.
        if self.0.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Problem::unreadable("the body must be a JSON object"));
        }
        serde_json::from_slice(&self.0)
            .map_err(|error| Problem::unreadable(format!("the body is not as it must be: {error}")))
    }
}

/// Bytes as JSON carries them: base64url without padding.
pub(crate) fn to_b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads such bytes.
pub(crate) fn from_b64(field: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let wrong = || Problem::unreadable(format!("`{field}` is not base64url without padding"));
    URL_SAFE_NO_PAD.decode(text).ok().ok_or_else(wrong)
}
