//! Hands commands to endpoints: at once where one is connected, else when it connects.
//!
//! Handing over is no fact about a command; only the endpoint's receipt makes it delivered. Until
//! then it is handed over again at every connection, and the endpoint obeys it at most once.

use std::sync::Arc;

use cordon_proto::id::EndpointId;

use crate::collector::Collector;
use crate::links::Links;
use crate::store::{State, StateError, StoredCommand};

/// Hands a command to those of its endpoints that wait for it and are connected.
pub fn hand_over(links: &Links, command: &StoredCommand) {
    let bytes = command.signed.to_bytes();
    for (endpoint, _) in command.lives.iter().filter(|(_, life)| life.undelivered()) {
        let links_told = links.send_command(*endpoint, &bytes).len();
        tracing::debug!(endpoint = %endpoint.short(), links_told, "a command was handed over");
    }
}

/// From now on hands every endpoint that connects the commands that wait for it. To be called once,
/// before the agents' door opens, inside the runtime.
pub fn hand_over_on_connect(collector: &Collector) {
    let state = Arc::clone(&collector.state);
    // The list of links holds what is called; held strongly, neither would ever end.
    let links = Arc::downgrade(&collector.links);
    let runtime = tokio::runtime::Handle::current();
    collector.links.call_on_connect(Box::new(move |connected| {
        let (state, endpoint) = (Arc::clone(&state), connected.endpoint);
        let Some(links) = links.upgrade() else { return };
        runtime.spawn_blocking(move || {
            if let Err(error) = hand_over_waiting(&state, &links, endpoint) {
                let endpoint = endpoint.short();
                tracing::error!(%endpoint, %error, "commands wait on for an endpoint that connected");
            }
        });
    }));
}

fn hand_over_waiting(state: &State, links: &Links, endpoint: EndpointId) -> Result<(), StateError> {
    for command in state.waiting_commands(endpoint)? {
        links.send_command(endpoint, &command);
    }
    Ok(())
}
