//! Ends those who took a table of ours over, and says who they were.

use crate::platform::linux::holder::{self, Holder, Reach};

/// What became of those who hold tables with names of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Who they are and what was done, for a person.
    pub(super) text: String,
    /// At least one of them is gone, as far as can be seen here.
    pub(super) ended: bool,
}

/// Ends the holders of these netlink ports as far as `reach` allows; nothing where there are none.
pub(super) fn end(ports: &[u32], reach: Reach) -> Option<Held> {
    let mut parts = Vec::new();
    let mut ended = false;
    for port in ports {
        let found = match holder::find(*port) {
            Ok(found) => found,
            Err(error) => {
                parts.push(format!("netlink port {port}, whose process cannot be found: {error}"));
                continue;
            }
        };
        if found.is_empty() {
            // Its socket was closed since: by a child between fork and exec, for one, which has all
            // that its parent had open. So it is looked at again.
            ended = true;
            parts.push(format!("netlink port {port}, which no process here has open"));
        }
        for holder in found {
            let outcome = holder.end(reach);
            ended |= outcome.is_ok();
            let outcome =
                outcome.map_or_else(|error| error.to_string(), |()| "it was ended".into());
            parts.push(format!("{}: {outcome}", who(&holder)));
        }
    }
    if parts.is_empty() {
        return None;
    }
    let text = format!("a table with a name of ours was held by {}", parts.join(", and by "));
    Some(Held { text, ended })
}

fn who(holder: &Holder) -> String {
    let Holder { pid, name, exe, .. } = holder;
    match exe {
        Some(exe) => format!("{name} (process {pid}, {})", exe.display()),
        None => format!("{name} (process {pid})"),
    }
}
