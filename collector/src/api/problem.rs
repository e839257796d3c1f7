//! What went wrong, as RFC 9457 says it: for a program by its status, for a person by a sentence.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cordon_proto::roster::Role;
use serde::Serialize;
use utoipa::ToSchema;

use crate::signin::account::InvitationRefused;
use crate::signin::password::{PasswordsError, Unfit};
use crate::signin::seal::SealError;
use crate::signin::session::FRESH_SECS;
use crate::signin::{SignInRefused, TooMany};
use crate::store::{LogError, StateError};
use crate::tenant::Denied;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    retry_secs: Option<u64>,
    /// What a 401 asks for, as RFC 6750 and RFC 9470 say it.
    challenge: &'static str,
}

/// The body of such an answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/api/v1/problems/not-found",
    "title": "Not Found",
    "status": 404,
    "detail": "there is no such thing, or it is not for you to see",
}))]
pub(crate) struct ProblemBody {
    /// What kind of problem it is, and where that kind is explained: `/api/v1/problems/NAME`.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, for a person.
    detail: String,
}

/// A kind of problem: its name in the type, the status it comes with, and what it means.
struct Kind(&'static str, StatusCode, &'static str);

/// Every kind there is.
const KINDS: [Kind; 13] = [
    Kind("unreadable", StatusCode::BAD_REQUEST, "The request cannot be read; `detail` says where."),
    Kind("signed-out", StatusCode::UNAUTHORIZED, "Nobody is signed in, or the session is over."),
    Kind("forbidden", StatusCode::FORBIDDEN, "The person may see this and not do it."),
    Kind(
        "not-found",
        StatusCode::NOT_FOUND,
        "There is no such thing, or it is another client's: the answer is the same.",
    ),
    Kind("method", StatusCode::METHOD_NOT_ALLOWED, "The path does not know that method."),
    Kind("conflict", StatusCode::CONFLICT, "What was asked for has changed, or is there already."),
    Kind("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than is taken."),
    Kind("range", StatusCode::RANGE_NOT_SATISFIABLE, "There is no such part of it."),
    Kind(
        "refused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The request can be read and asks for something that cannot be; `detail` says what.",
    ),
    Kind(
        "too-many",
        StatusCode::TOO_MANY_REQUESTS,
        "Too fast, or too much at once; `Retry-After` says when to try again.",
    ),
    Kind("inside", StatusCode::INTERNAL_SERVER_ERROR, "The collector failed; its log says how."),
    Kind(
        "unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "The collector is stopping, or did not answer in time; whether it acted is not known.",
    ),
    Kind("other", StatusCode::IM_A_TEAPOT, "A status without a kind of its own."),
];

/// A kind of problem, explained.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemKind {
    /// What problems of this kind have as `type`.
    #[serde(rename = "type")]
    kind: String,
    /// The HTTP status they come with.
    status: u16,
    /// What it means.
    meaning: &'static str,
}

impl Kind {
    fn of(status: StatusCode) -> &'static Self {
        let [.., other] = &KINDS;
        KINDS.iter().find(|kind| kind.1 == status).unwrap_or(other)
    }

    fn uri(&self) -> String {
        format!("{}/problems/{}", super::PREFIX, self.0)
    }
}

/// What a kind of problem means: where the `type` of a problem leads.
#[utoipa::path(get, path = "/problems/{name}", tag = "collector",
    params(("name" = String, Path, description = "the kind's name", example = "not-found")),
    responses((status = 200, body = ProblemKind), (status = 404, body = ProblemBody)))]
pub(super) async fn kind(Path(name): Path<String>) -> Result<Json<ProblemKind>, Problem> {
    let known = KINDS.iter().find(|kind| kind.0 == name && kind.0 != "other");
    let known = known.ok_or_else(Problem::not_found)?;
    let (kind, status, meaning) = (known.uri(), known.1.as_u16(), known.2);
    Ok(Json(ProblemKind { kind, status, meaning }))
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_secs: None, challenge: "Bearer" }
    }

    /// The request cannot be read.
    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The request can be read and asks for something that cannot be.
    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// What was asked for has changed or is there already.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// It is not there, or not for this person: the words are the same.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such thing, or it is not for you to see")
    }

    /// Nobody is signed in.
    pub(crate) fn nobody() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "sign in first, or again: the session is over")
    }

    /// Somebody is signed in, and must prove once more to be who it was.
    pub(crate) fn prove_again() -> Self {
        let detail = format!(
            "this needs a session in which you proved who you are in the last {FRESH_SECS} s; do so \
             again (POST /session/proof, or /session/proof/passkey), or sign in anew with your key"
        );
        let challenge = "Bearer error=\"insufficient_user_authentication\", max_age=300";
        Self { challenge, ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// What was tried is not right; which part of it is not said.
    pub(crate) fn wrong() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "this is not right; try again")
    }

    /// The person may do it, and not in this way.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// Too fast, or too much at once.
    pub(crate) fn too_many(detail: impl Into<String>, retry_secs: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        Self { retry_secs: Some(retry_secs), ..problem }
    }

    /// The operating system is not up to it.
    pub(crate) fn no_random() -> Self {
        let detail = "the operating system gave no random numbers";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// The collector is going down.
    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the collector is stopping")
    }

    /// Something inside failed; the log says what, the answer does not.
    pub(crate) fn inside(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request could not be answered");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the collector failed; its log says how")
    }
}

impl ProblemBody {
    /// As it is sent with a status.
    pub(super) fn of(status: StatusCode, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { kind: Kind::of(status).uri(), title, status: status.as_u16(), detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail, retry_secs, challenge } = self;
        let body = ProblemBody::of(status, detail);
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(secs) = retry_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NotFound => Self::not_found(),
            Denied::Role(least) => {
                let least = match least {
                    Role::Viewer => "viewer",
                    Role::Responder => "responder",
                    Role::Administrator => "administrator",
                };
                let detail = format!("the client's roster gives you no role of {least} or above");
                Self::new(StatusCode::FORBIDDEN, detail)
            }
        }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::inside(&error)
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        Self::inside(&error)
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        Self::inside(&error)
    }
}

impl From<TooMany> for Problem {
    fn from(error: TooMany) -> Self {
        Self::too_many(error.to_string(), error.retry_secs)
    }
}

impl From<PasswordsError> for Problem {
    fn from(error: PasswordsError) -> Self {
        match error {
            PasswordsError::Busy(too_many) => {
                let detail = "others are signing in at this moment; try again shortly";
                Self::too_many(detail, too_many.retry_secs)
            }
            PasswordsError::Machine => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        Self::refused(unfit.to_string())
    }
}

impl From<InvitationRefused> for Problem {
    fn from(refused: InvitationRefused) -> Self {
        Self::conflict(refused.to_string())
    }
}

impl From<SealError> for Problem {
    fn from(error: SealError) -> Self {
        Self::inside(&error)
    }
}

impl From<SignInRefused> for Problem {
    fn from(refused: SignInRefused) -> Self {
        match refused {
            SignInRefused::Wrong => Self::new(StatusCode::UNAUTHORIZED, refused.to_string()),
            SignInRefused::TooMany(too_many) => too_many.into(),
        }
    }
}
