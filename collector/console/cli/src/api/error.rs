//! What can go wrong between this program and a collector, each with a sentence that says what to
//! do about it.

use std::error::Error;
use std::io;

use cordon_proto::id::{Hash, KeyId};

use super::tls::PinMismatch;

type Cause = Box<dyn Error + Send + Sync>;

/// Why a request to the collector came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection.
    #[error(
        "the collector at {address} cannot be reached; is it running, and is this the right \
         address? (`cordon profile list` shows it)"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A connection, and no answer.
    #[error("the collector at {address} did not answer in time; whether it acted is not known")]
    Silent {
        /// Where.
        address: String,
    },
    /// Another certificate authority than the one pinned.
    #[error(
        "the server at {address} is not the collector pinned in this profile: it shows the root \
         {found}, pinned is {pinned}. Somebody may be in between. If the collector was set up \
         anew, make a new profile with the pin that `cordon-collector init` printed"
    )]
    WrongPin {
        /// Where.
        address: String,
        /// The last certificate presented, shortened.
        found: String,
        /// The pin, shortened.
        pinned: String,
    },
    /// The certificate's time and ours do not fit.
    #[error(
        "the certificate of the collector at {address} is {state} by this machine's clock \
         ({now}); set the clock right, or renew the certificate on the collector"
    )]
    Clock {
        /// Where.
        address: String,
        /// Expired, or not valid yet.
        state: &'static str,
        /// What time this machine thinks it is.
        now: String,
    },
    /// The certificate is for another name.
    #[error(
        "the collector at {address} is the one pinned, but its certificate is not for that name; \
         use the name given to `cordon-collector init`"
    )]
    Name {
        /// Where.
        address: String,
    },
    /// Any other trouble with TLS.
    #[error("no secure connection to {address}: {cause}")]
    Tls {
        /// Where.
        address: String,
        /// What rustls says.
        cause: String,
    },
    /// The collector holds no roster that names this key.
    #[error(
        "the collector does not let key {} sign in{detail}. It must stand in a client's roster: \
         `cordon roster make --add-operator NAME=PUBLIC`, `cordon roster sign`, `cordon roster push`",
        key.short()
    )]
    NotInRoster {
        /// The key.
        key: KeyId,
        /// The collector's words.
        detail: String,
    },
    /// The API token is none, or no more.
    #[error(
        "the collector does not accept the API token{detail}. It may have expired or been revoked: \
         `cordon api-token list` shows those that are good"
    )]
    Token {
        /// The collector's words.
        detail: String,
    },
    /// A fresh session was refused.
    #[error("the collector does not accept the session it has just granted{detail}")]
    SignIn {
        /// The collector's words.
        detail: String,
    },
    /// Known, and not allowed to.
    #[error("the collector does not allow this{detail}")]
    Denied {
        /// The collector's words.
        detail: String,
    },
    /// Nothing of that name, as far as this operator may know.
    #[error("the collector knows nothing of that name, or does not let you see it{detail}")]
    NotFound {
        /// The collector's words.
        detail: String,
    },
    /// Any other refusal.
    #[error("the collector refuses, with status {status}{detail}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The collector's words.
        detail: String,
    },
    /// An answer of another shape.
    #[error("the answer of {address} cannot be read; is it a collector of this version?")]
    Answer {
        /// Where.
        address: String,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// Something on this machine.
    #[error(transparent)]
    Local(Cause),
}

impl ApiError {
    /// Wraps an error that has nothing to do with the collector.
    pub fn local(error: impl Into<Cause>) -> Self {
        Self::Local(error.into())
    }

    /// Wraps what is wrong with an answer.
    pub fn answer(address: &str, cause: impl Into<Cause>) -> Self {
        Self::Answer { address: address.to_owned(), cause: cause.into() }
    }

    /// Whether trying again a little later may help.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => true,
            Self::Problem { status, .. } => *status == 429 || *status >= 500,
            Self::WrongPin { .. }
            | Self::Clock { .. }
            | Self::Name { .. }
            | Self::Tls { .. }
            | Self::NotInRoster { .. }
            | Self::SignIn { .. }
            | Self::Token { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Answer { .. }
            | Self::Local(_) => false,
        }
    }
}

/// Finds the reason inside what the HTTP client says.
pub(super) fn of_transport(address: &str, error: &reqwest::Error) -> ApiError {
    let address = address.to_owned();
    if let Some(tls) = find_tls(error) {
        return of_tls(address, tls);
    }
    if error.is_timeout() && !error.is_connect() {
        return ApiError::Silent { address };
    }
    ApiError::Unreachable { address, cause: innermost(error).into() }
}

fn of_tls(address: String, error: &rustls::Error) -> ApiError {
    use rustls::CertificateError as Certificate;
    if let rustls::Error::InvalidCertificate(Certificate::Other(other)) = error
        && let Some(PinMismatch { presented, pinned }) = other.0.downcast_ref()
    {
        let found = presented.last().map_or_else(|| "none".to_owned(), Hash::short);
        return ApiError::WrongPin { address, found, pinned: pinned.short() };
    }
    let now = crate::moment::table_time(crate::clock::now_ns());
    if let rustls::Error::InvalidCertificate(certificate) = error {
        if matches!(certificate, Certificate::Expired | Certificate::ExpiredContext { .. }) {
            return ApiError::Clock { address, state: "expired", now };
        }
        if matches!(certificate, Certificate::NotValidYet | Certificate::NotValidYetContext { .. })
        {
            return ApiError::Clock { address, state: "not valid yet", now };
        }
        if matches!(
            certificate,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }
        ) {
            return ApiError::Name { address };
        }
    }
    ApiError::Tls { address, cause: error.to_string() }
}

/// The TLS error somewhere inside; an `io::Error` hides what it carries from `source`.
fn find_tls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match carried {
        Some(carried) => find_tls(carried),
        None => error.source().and_then(find_tls),
    }
}

fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
