//! Finding the endpoints that names on the command line mean.

use cordon_proto::id::{ClientId, EndpointId};

use crate::api::model::Endpoint;
use crate::api::{Api, ApiError};
use crate::output::Output;
use crate::resolve;

/// Endpoints looked through for one name.
const ENDPOINTS_MAX: usize = 50_000;

/// The endpoints that these names mean, in their order.
pub async fn endpoints(
    api: &Api<'_>,
    output: &Output,
    names: &[String],
    client: Option<&ClientId>,
) -> anyhow::Result<Vec<Endpoint>> {
    let progress = output.progress("finding endpoints");
    let mut found = Vec::new();
    for name in names {
        let candidates = progress.wait(candidates(api, name, client)).await?;
        found.push(resolve::pick(name, &candidates)?.clone());
    }
    Ok(found)
}

/// The one endpoint that a name means.
pub async fn endpoint(
    api: &Api<'_>,
    output: &Output,
    name: &str,
    client: Option<&ClientId>,
) -> anyhow::Result<Endpoint> {
    let progress = output.progress("finding the endpoint");
    let candidates = progress.wait(candidates(api, name, client)).await?;
    Ok(resolve::pick(name, &candidates)?.clone())
}

/// Every endpoint of a client.
pub async fn all(
    api: &Api<'_>,
    output: &Output,
    client: &ClientId,
) -> anyhow::Result<Vec<Endpoint>> {
    let progress = output.progress("finding the client's endpoints");
    let query = [("client", client.to_string()), ("limit", "500".to_owned())];
    let (items, _) = progress.wait(api.list(&["endpoints"], &query, ENDPOINTS_MAX)).await?;
    items.into_iter().map(|item| Ok(api.read(item)?)).collect()
}

async fn candidates(
    api: &Api<'_>,
    name: &str,
    client: Option<&ClientId>,
) -> Result<Vec<Endpoint>, ApiError> {
    if let Ok(id) = name.to_ascii_lowercase().parse::<EndpointId>() {
        let one = api.read(api.get(&["endpoints", &id.to_string()], &[]).await?)?;
        return Ok(vec![one]);
    }
    // The collector answers with whatever has the name in it, or an id that begins so.
    let mut query = vec![("name", name.to_owned()), ("limit", "500".to_owned())];
    query.extend(client.map(|client| ("client", client.to_string())));
    let (items, _) = api.list(&["endpoints"], &query, ENDPOINTS_MAX).await?;
    items.into_iter().map(|item| api.read(item)).collect()
}
