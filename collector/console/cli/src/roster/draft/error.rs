//! What is wrong with a draft of a roster, in words for whoever wrote it.

use cordon_proto::id::OperatorId;

/// What is wrong with a draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// Not the text of a roster.
    #[error("the draft cannot be read as a roster")]
    Form(#[source] Box<toml::de::Error>),
    /// A key that is none.
    #[error("operator {operator}: '{key}' is not a public key")]
    Key {
        /// Whose.
        operator: OperatorId,
        /// What stands there.
        key: String,
    },
    /// The same key or person twice: signatures would not count as meant.
    #[error("{0} stands in the draft twice")]
    Twice(String),
    /// A person without any key.
    #[error("operator {0} has no key")]
    NoKey(OperatorId),
    /// A row that asks for nobody.
    #[error("the grant for {0} asks for 0 approvals; it must be at least 1")]
    NoApproval(&'static str),
    /// An action that no response can name.
    #[error("endpoints can do no {0} by themselves; [ceilings.autonomy] may name: {1}")]
    Autonomy(&'static str, String),
    /// Nobody to add or take away.
    #[error("there is no operator {0} in the roster")]
    NoSuch(OperatorId),
    /// Nobody could act.
    #[error("the draft names no operator")]
    Nobody,
}
