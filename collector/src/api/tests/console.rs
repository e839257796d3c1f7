//! The console's files and page, or the page in their place; and the document that its client is made
//! from.

use axum::body::Body;
use axum::http::header::{self, HeaderName};
use axum::http::{Request, Response, StatusCode};
use tower::ServiceExt;

use super::{World, read};
use crate::api::console::IS_BUILT;
use crate::api::describe;

/// What a browser says when a person goes to an address.
const A_PAGE: (HeaderName, &str) = (header::ACCEPT, "text/html,*/*;q=0.8");

async fn get(world: &World, path: &str, headers: &[(HeaderName, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn kind(response: &Response<Body>) -> &str {
    response.headers()[header::CONTENT_TYPE].to_str().unwrap()
}

#[tokio::test]
async fn the_page_lets_nothing_run_but_its_own_files() {
    let world = World::new();
    let response = get(&world, "/", &[A_PAGE]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(policy.contains("style-src 'self'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    // The signing page answers the window that opened it, and nobody else may hold the console's.
    let opener = response.headers().get("cross-origin-opener-policy");
    assert_eq!(opener.is_some(), IS_BUILT);
    assert!(opener.is_none_or(|policy| policy == "same-origin-allow-popups"), "{opener:?}");
    let page = String::from_utf8(read(response).await.to_vec()).unwrap();
    assert!(!page.contains("style=") && !page.contains("<style"), "{page}");
    let mut scripts = page.split("<script").skip(1);
    assert!(scripts.all(|script| script.contains("src=\"/assets/")), "{page}");
    assert_eq!(page.contains("npm run build"), !IS_BUILT, "{page}");
}

#[tokio::test]
async fn an_address_of_the_consoles_own_is_its_page_and_one_of_the_api_never_is() {
    let world = World::new();
    let deep = get(&world, "/c/acme/endpoints", &[A_PAGE]).await;
    assert_eq!(deep.status() == StatusCode::OK, IS_BUILT);
    assert_eq!(kind(&deep).starts_with("text/html"), IS_BUILT);
    for path in ["/api/v1/nothing", "/api/v2/nothing", "/assets/nothing.js"] {
        let response = get(&world, path, &[A_PAGE]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(kind(&response), "application/problem+json", "{path}");
    }
    let program = get(&world, "/c/acme/endpoints", &[(header::ACCEPT, "application/json")]).await;
    assert_eq!(program.status(), StatusCode::NOT_FOUND);
    assert_eq!(kind(&program), "application/problem+json");
}

/// Where the console was not built there is nothing to look at.
#[tokio::test]
async fn files_with_a_hash_in_their_name_are_kept_for_good_and_sent_small() {
    let world = World::new();
    let page = read(get(&world, "/", &[A_PAGE]).await).await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let script = page.split(" src=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(script.is_some(), IS_BUILT);
    let Some(script) = script else { return };
    let plain = get(&world, script, &[]).await;
    assert_eq!(kind(&plain), "text/javascript; charset=utf-8");
    let kept = plain.headers()[header::CACHE_CONTROL].to_str().unwrap();
    assert!(kept.contains("immutable"), "{kept}");
    let tag = plain.headers()[header::ETAG].to_str().unwrap().to_owned();
    let plain = read(plain).await;
    let small = get(&world, script, &[(header::ACCEPT_ENCODING, "gzip, br")]).await;
    assert_eq!(small.headers()[header::CONTENT_ENCODING], "br");
    assert!(read(small).await.len() * 2 < plain.len());
    let again = get(&world, script, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

/// The console's client is made from a file, so that it can be built before the collector. Whoever
/// changes the API writes it anew: `CORDON_WRITE_OPENAPI=1 cargo test -p cordon-collector openapi`.
#[test]
fn the_openapi_document_that_the_consoles_client_is_made_from_is_this_one() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("console/web/openapi.json");
    let document: serde_json::Value = serde_json::from_str(&describe()).unwrap();
    let now = format!("{document:#}\n");
    if std::env::var_os("CORDON_WRITE_OPENAPI").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let held = std::fs::read_to_string(&file).unwrap();
    let line = held.lines().zip(now.lines()).position(|(held, now)| held != now);
    assert!(held == now, "console/web/openapi.json is old, from line {line:?} on: write it anew");
}
