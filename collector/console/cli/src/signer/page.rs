//! The page's files, and how they are served: to this machine, by one name, with nothing else on it.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// One file of the page.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    kind: &'static str,
    /// What is in it.
    pub content: &'static str,
}

macro_rules! file {
    ($name:literal, $kind:literal) => {
        File { name: $name, kind: $kind, content: include_str!(concat!("../../../signer/", $name)) }
    };
}

/// All that the page is made of.
pub const FILES: [File; 12] = [
    file!("index.html", "text/html; charset=utf-8"),
    file!("signer.css", "text/css; charset=utf-8"),
    file!("page.js", "text/javascript; charset=utf-8"),
    file!("asker.js", "text/javascript; charset=utf-8"),
    file!("passkey.js", "text/javascript; charset=utf-8"),
    file!("words.js", "text/javascript; charset=utf-8"),
    file!("command.js", "text/javascript; charset=utf-8"),
    file!("cose.js", "text/javascript; charset=utf-8"),
    file!("ip.js", "text/javascript; charset=utf-8"),
    file!("shape.js", "text/javascript; charset=utf-8"),
    file!("cbor.js", "text/javascript; charset=utf-8"),
    file!("bytes.js", "text/javascript; charset=utf-8"),
];

/// Nothing from elsewhere, and inside no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The page alone.
pub(super) fn router(port: u16) -> Router {
    guarded(files(), port)
}

/// The files' routes.
pub(super) fn files() -> Router {
    FILES.iter().fold(Router::new(), |router, file| {
        let answer = move || async move { ([(header::CONTENT_TYPE, file.kind)], file.content) };
        let router = router.route(&format!("/{}", file.name), get(answer));
        if file.name == "index.html" { router.route("/", get(answer)) } else { router }
    })
}

/// Routes as they are safe on a machine whose browser also shows strangers' pages.
pub(super) fn guarded(router: Router, port: u16) -> Router {
    router.layer(middleware::from_fn_with_state(port, guard))
}

/// Refuses who came by another name (a stranger's name that leads here) or from another page.
async fn guard(State(port): State<u16>, request: Request, next: Next) -> Response {
    let mut response = if is_own(request.headers(), port) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this is the signing page of localhost, and of nobody else\n")
            .into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_own(headers: &HeaderMap, port: u16) -> bool {
    let host = format!("localhost:{port}");
    let is = |name: HeaderName, wanted: &str| headers.get(name).map(|value| value == wanted);
    let from_here = is(header::ORIGIN, &format!("http://{host}")).unwrap_or(true);
    is(header::HOST, &host).unwrap_or(false) && from_here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], own: bool) {
        let pairs = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        assert_eq!(is_own(&pairs.collect(), 9443), own, "{headers:?}");
    }

    #[test]
    fn only_the_page_itself_is_answered() {
        let host = ("host", "localhost:9443");
        check(&[host], true);
        check(&[host, ("origin", "http://localhost:9443")], true);
        check(&[host, ("origin", "https://collector.example:8443")], false);
        check(&[host, ("origin", "null")], false);
        check(&[("host", "rebound.example:9443")], false);
        check(&[("host", "127.0.0.1:9443")], false);
        check(&[], false);
    }

    #[test]
    fn every_file_that_the_page_names_is_there() {
        let names: Vec<_> = FILES.iter().map(|file| file.name).collect();
        for file in &FILES {
            let imports = file.content.split("from \"./").skip(1);
            for import in imports {
                let name = import.split('"').next().unwrap();
                assert!(names.contains(&name), "{} imports {name}", file.name);
            }
        }
        assert!(FILES[0].content.contains("src=\"page.js\""));
    }
}
