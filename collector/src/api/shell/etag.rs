//! Answers that have not changed are not sent again: an `ETag` over each JSON answer of a GET, and 304
//! for who has it already.

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cordon_proto::id::Hash;

/// Longer answers get none: they would have to be held while they are hashed.
const BYTES_MAX: u64 = 4 << 20;

/// Puts it around a route.
pub(in crate::api) async fn etag(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let has = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let is_json = response.headers().get(header::CONTENT_TYPE);
    let is_json = is_json.is_some_and(|kind| kind == "application/json");
    let is_short = response.body().size_hint().exact().is_some_and(|bytes| bytes <= BYTES_MAX);
    if !is_get || !is_json || !is_short || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::try_from(BYTES_MAX).unwrap_or(usize::MAX)).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let hash = Hash::of(&bytes).to_string();
    let tag = format!("\"{}\"", hash.get(..32).unwrap_or_default());
    let is_had = has.as_ref().and_then(|has| has.to_str().ok()).is_some_and(|has| names(has, &tag));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    if is_had {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether a list of tags has this one, or is for any.
fn names(list: &str, tag: &str) -> bool {
    let mut tags = list.split(',').map(str::trim);
    tags.any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_strong() {
        for (list, found) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(names(list, "\"a\""), found, "{list}");
        }
    }
}
