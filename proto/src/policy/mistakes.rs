//! What is wrong with a policy before anybody signs it, all of it at once, for a person.

use super::{Policy, responses};
use crate::roster::Ceilings;

/// What is wrong with a policy, a sentence each that goes on from `it`; by the roster's ceilings,
/// too, where they are known. Names in it are quoted as they stand in the policy.
#[must_use]
pub fn mistakes(policy: &Policy, ceilings: Option<&Ceilings>) -> Vec<String> {
    let mut said = Vec::new();
    if policy.version == 0 {
        said.push("has version 0; the first one is 1".to_owned());
    }
    exemptions(policy, ceilings, &mut said);
    let count = policy.critical.len();
    if count > Policy::CRITICAL_MAX {
        said.push(format!(
            "calls {count} endpoints critical; {} is the most",
            Policy::CRITICAL_MAX
        ));
    }
    let protected = policy.protected.as_deref().unwrap_or_default();
    if protected.len() > Policy::PROTECTED_MAX {
        let (count, most) = (protected.len(), Policy::PROTECTED_MAX);
        said.push(format!("protects {count} programs; {most} is the most"));
    }
    for path in protected.iter().filter(|path| path.as_bytes().first() != Some(&b'/')) {
        said.push(format!("protects '{}', which is no whole path", path.to_lossy()));
    }
    let redactions = policy.redactions.as_ref().and_then(|redactions| redactions.check().err());
    said.extend(redactions.map(|error| error.to_string()));
    let budget = policy.budget.and_then(|budget| budget.check().err());
    said.extend(budget.map(|error| error.to_string()));
    if let Some(least) = ceilings.map(|ceilings| ceilings.policy_min)
        && policy.version < least
    {
        said.push(format!("has version {}; the roster takes none below {least}", policy.version));
    }
    let all = policy.responses.as_deref().unwrap_or_default();
    let any = responses::any();
    let autonomy = ceilings.map_or(Some(&any), |ceilings| ceilings.autonomy.as_ref());
    said.extend(responses::mistakes(all, autonomy).map(|one| one.to_string()));
    said
}

fn exemptions(policy: &Policy, ceilings: Option<&Ceilings>, said: &mut Vec<String>) {
    let most = ceilings.map_or(u32::MAX, |ceilings| ceilings.exemptions_max);
    let most = Policy::EXEMPTIONS_MAX.min(usize::try_from(most).unwrap_or(usize::MAX));
    let count = policy.exemptions.len();
    if count > most {
        said.push(format!("has {count} exemptions; {most} is the most"));
    }
    for exemption in &policy.exemptions {
        let (address, port) = (exemption.address, exemption.port);
        if exemption.process.is_some() {
            said.push(format!("exempts {address} for one program, which no endpoint can enforce"));
        }
        let fits = |user: &String| (1..=Policy::USER_BYTES_MAX).contains(&user.len());
        if !exemption.user.as_ref().is_none_or(fits) {
            said.push(format!("exempts {address} port {port} for a user that no system can have"));
        }
        if port == 0 {
            said.push(format!("exempts {address} at port 0"));
        }
    }
}
