//! Which endpoint a name on the command line means. Pure.
//!
//! A name is a host name or the beginning of an id. Endpoints choose their own host names, so a name
//! that could mean two of them means none.

use std::fmt::Write;

use crate::api::model::Endpoint;
use crate::output::text;

/// The fewest digits of an id that name an endpoint.
pub const DIGITS_MIN: usize = 6;

/// Candidates that are listed.
const LISTED_MAX: usize = 10;

/// Why a name means no endpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// Nothing fits.
    #[error(
        "no endpoint is called '{0}', and no endpoint's id begins so; `cordon endpoint list` shows \
         all"
    )]
    None(String),
    /// More than one fits.
    #[error("'{name}' may mean {count} endpoints; name one by its id:{candidates}")]
    Ambiguous {
        /// The name given.
        name: String,
        /// How many fit.
        count: usize,
        /// Some of them, one a line.
        candidates: String,
    },
}

/// Whether a name may be the beginning of an id.
#[must_use]
pub fn may_be_id(name: &str) -> bool {
    (DIGITS_MIN..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The one endpoint that a name means.
pub fn pick<'e>(name: &str, endpoints: &'e [Endpoint]) -> Result<&'e Endpoint, ResolveError> {
    let digits = may_be_id(name).then(|| name.to_ascii_lowercase());
    let fits = |endpoint: &&Endpoint| {
        endpoint.host_name.eq_ignore_ascii_case(name)
            || digits.as_ref().is_some_and(|digits| endpoint.id.to_string().starts_with(digits))
    };
    let fitting: Vec<&Endpoint> = endpoints.iter().filter(fits).collect();
    match fitting.as_slice() {
        [] => Err(ResolveError::None(text::cut(name, 80).into_owned())),
        [one] => Ok(one),
        several => Err(ambiguous(name, several)),
    }
}

fn ambiguous(name: &str, fitting: &[&Endpoint]) -> ResolveError {
    let mut candidates = String::new();
    for endpoint in fitting.iter().take(LISTED_MAX) {
        let host_name = text::plain(&endpoint.host_name);
        let (id, client) = (endpoint.id, &endpoint.client);
        // Writing to a String cannot fail.
        write!(candidates, "\n  {id}  {host_name}  client {client}").ok();
    }
    if fitting.len() > LISTED_MAX {
        write!(candidates, "\n  … and {} more", fitting.len() - LISTED_MAX).ok();
    }
    ResolveError::Ambiguous { name: name.to_owned(), count: fitting.len(), candidates }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str, host_name: &str, client: &str) -> Endpoint {
        serde_json::from_value(serde_json::json!({
            "id": format!("{id:0<64}"), "client": client, "host_name": host_name,
        }))
        .unwrap()
    }

    /// What a name means among three endpoints and one that calls itself like an id.
    #[track_caller]
    fn check(name: &str, says: &str) {
        let endpoints = [
            endpoint("aaaaaa1", "web-01", "acme"),
            endpoint("aaaaaa2", "web-02", "acme"),
            endpoint("bbbbbb3", "web-02", "globex"),
            endpoint("cccccc4", "bbbbbb3", "acme"),
        ];
        let picked = pick(name, &endpoints);
        let said = picked.map_or_else(|e| e.to_string(), |e| e.id.short());
        assert!(said.starts_with(says), "{name}: {said}");
    }

    #[test]
    fn an_endpoint_is_named_by_its_host_name_or_the_beginning_of_its_id() {
        check("web-01", "aaaaaa100000");
        check("WEB-01", "aaaaaa100000");
        check("aaaaaa2", "aaaaaa200000");
        check("AAAAAA2", "aaaaaa200000");
    }

    #[test]
    fn a_name_that_may_mean_two_means_none_and_lists_them() {
        check("web-02", "'web-02' may mean 2 endpoints; name one by its id:\n  aaaaaa2");
        check("aaaaaa", "'aaaaaa' may mean 2 endpoints");
        check("bbbbbb3", "'bbbbbb3' may mean 2 endpoints");
    }

    #[test]
    fn too_few_digits_and_unknown_names_mean_none() {
        check("aaaaa", "no endpoint is called 'aaaaa'");
        check("db-01", "no endpoint is called 'db-01'");
        check("", "no endpoint is called ''");
    }
}
