//! The rules that every endpoint has, in one list.

use std::ops::Range;

use super::text::Search;
use super::{header, option, program, token};

/// Takes what a rule finds.
pub(super) type Take<'a> = &'a mut dyn FnMut(Range<usize>);

/// One kind of secret.
pub(super) struct Rule {
    /// The name by which it is marked and may be switched off.
    pub(super) name: &'static str,
    /// What stands in every text that has such a secret, in small letters.
    pub(super) anchors: &'static [&'static str],
    /// Finds them all.
    pub(super) find: fn(&Search<'_>, Take<'_>),
}

/// All rules. A name once given stays, because signed policies hold it.
pub(super) const RULES: [Rule; 15] = [
    Rule { name: "secret-option", anchors: NAMES, find: option::options },
    Rule { name: "secret-assignment", anchors: NAMES, find: option::assignments },
    Rule { name: "secret-field", anchors: NAMES, find: option::fields },
    Rule { name: "secret-header", anchors: &["token:", "api-key:"], find: header::secret },
    Rule { name: "authorization", anchors: &["authorization"], find: header::authorization },
    Rule { name: "url-password", anchors: &["://"], find: token::url_passwords },
    Rule { name: "mysql-password", anchors: &["mysql", "mariadb"], find: program::mysql },
    Rule { name: "sshpass-password", anchors: &["sshpass"], find: program::sshpass },
    Rule { name: "curl-user", anchors: &["curl"], find: program::curl },
    Rule { name: "aws-key", anchors: &["akia", "asia"], find: token::aws_keys },
    Rule { name: "aws-secret", anchors: &["secret_access_key"], find: token::aws_secrets },
    Rule { name: "github-token", anchors: GITHUB, find: token::github },
    Rule { name: "slack-token", anchors: &["xox"], find: token::slack },
    Rule { name: "private-key", anchors: &["-----begin"], find: token::private_keys },
    Rule { name: "jwt", anchors: &["eyj"], find: token::jwts },
];

/// What the names of secrets have in them.
const NAMES: &[&str] = &[
    "pass",
    "pwd",
    "token",
    "secret",
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "access-key",
    "accesskey",
    "private_key",
];

const GITHUB: &[&str] = &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];
