//! Policies that were signed for a client, and which endpoint holds which.

use anyhow::Context as _;
use cordon_proto::command::Action;
use cordon_proto::id::{ClientId, EndpointId};
use cordon_proto::policy::Policy;
use cordon_proto::sign::command::SignedCommand;

use crate::api::Api;
use crate::api::model::CommandRecord;

/// Policies looked through; whoever set more of them has long replaced the first ones.
const POLICIES_MAX: usize = 500;

/// A policy as it was signed.
pub(super) struct Known {
    pub(super) policy: Policy,
    pub(super) signed: SignedCommand,
    pub(super) record: CommandRecord,
}

impl Known {
    /// Whether as many signed it as the roster asked for, as the collector says.
    pub(super) fn is_authorised(&self) -> bool {
        self.record.targets.iter().any(|target| target.facts.authorised.is_some())
    }

    pub(super) fn is_for(&self, endpoint: EndpointId) -> bool {
        self.signed.command().targets.iter().any(|target| target.endpoint == endpoint)
    }
}

/// A client's policies, the highest version first, and of one version the latest.
pub(super) async fn policies(api: &Api<'_>, client: &ClientId) -> anyhow::Result<Vec<Known>> {
    let query = [
        ("client", client.to_string()),
        ("policies", "true".to_owned()),
        ("limit", "100".to_owned()),
    ];
    let (commands, _) = api.list(&["commands"], &query, POLICIES_MAX).await?;
    let mut found = Vec::new();
    for one in commands {
        let record: CommandRecord = api.read(one)?;
        let bytes = record.bytes().context("the collector does not show a command's bytes")?;
        let signed = SignedCommand::read(&bytes)
            .map_err(|error| anyhow::anyhow!("what the collector shows {error}"))?;
        // What is true about a command stands in its bytes.
        let Action::SetPolicy(policy) = &signed.command().action else { continue };
        if signed.command().id == record.id && policy.client == *client {
            found.push(Known { policy: policy.clone(), signed, record });
        }
    }
    found.sort_by_key(|known| std::cmp::Reverse(known.policy.version));
    Ok(found)
}

/// The policy that stands: the newest that enough persons signed.
pub(super) fn standing(all: &[Known]) -> Option<&Known> {
    all.iter().find(|known| known.is_authorised())
}

/// The newest that enough persons signed for this endpoint.
pub(super) fn meant_for(all: &[Known], endpoint: EndpointId) -> Option<&Known> {
    all.iter().find(|known| known.is_authorised() && known.is_for(endpoint))
}

/// The one of this version that this endpoint was given.
pub(super) fn held(all: &[Known], endpoint: EndpointId, version: u64) -> Option<&Known> {
    let mut of_version = all.iter().filter(|known| known.policy.version == version);
    of_version.find(|known| known.is_authorised() && known.is_for(endpoint))
}
