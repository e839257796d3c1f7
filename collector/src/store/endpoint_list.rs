//! Endpoints that fit a filter, as narrow rows: enough to count, sort and cut a page from all of
//! them, before anything else of the few that are shown is read.

use cordon_proto::id::{ClientId, EndpointId};
use rusqlite::{Row, params};

use super::endpoint::{Endpoint, find};
use super::estate::{of_rank, rank};
use super::state::{State, StateError, from_sql, parsed};
use crate::attention::Needs;
use crate::estate::{Criticality, Word};
use crate::presence::{self, Ended, Farewell, Silence};

/// Which endpoints are looked for; whether one is connected is not known to the state.
#[derive(Clone, Debug, Default)]
pub struct Sought {
    /// Of these clients only: those that the asker may see.
    pub clients: Vec<ClientId>,
    /// Whose host name has this in it, or whose id begins with it.
    pub name: Option<String>,
    /// Having this in its host name, system, kernel, version, role or a label.
    pub text: Option<String>,
    /// Whose operating system has this in its name.
    pub os: Option<String>,
    /// Standing at this site; an empty name for none.
    pub site: Option<String>,
    /// Having all of these labels.
    pub labels: Vec<Word>,
    /// On which so much hangs.
    pub criticality: Option<Criticality>,
    /// Contained, or not, by its last health.
    pub contained: Option<bool>,
    /// On which an action of this name stands.
    pub standing: Option<String>,
}

/// What a list is sorted and counted by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Narrow {
    /// Which.
    pub id: EndpointId,
    /// Whose.
    pub client: ClientId,
    /// Its host name.
    pub host_name: String,
    /// Its operating system.
    pub os: String,
    /// Its agent's version.
    pub agent_version: String,
    /// When it enrolled.
    pub enrolled_ns: u64,
    /// When it was last heard, as far as the state was told; 0 for never.
    pub seen_ns: u64,
    /// Where it stands.
    pub site: Option<String>,
    /// How much hangs on it.
    pub criticality: Criticality,
    /// Whether anything stands on it, by its last health.
    pub contained: bool,
    /// Whether an isolation does.
    pub isolated: bool,
    /// Why it is silent, if it is not connected: that the state cannot know.
    pub silence: Silence,
    /// Why somebody should look at it, apart from its silence.
    pub needs: Needs,
}

impl State {
    /// All endpoints that fit, in no order.
    pub fn endpoints_sought(&self, sought: &Sought) -> Result<Vec<Narrow>, StateError> {
        let clients = serde_json::to_string(&sought.clients).unwrap_or_default();
        let labels = (!sought.labels.is_empty())
            .then(|| serde_json::to_string(&sought.labels).unwrap_or_default());
        let standing = sought.standing.as_ref().map(|name| format!(",{name},"));
        let criticality = sought.criticality.map(rank);
        self.read("look for endpoints", |connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let values = params![
                clients,
                sought.name,
                sought.text,
                sought.os,
                sought.site,
                labels,
                criticality,
                sought.contained,
                standing
            ];
            let rows = statement.query_map(values, narrow)?;
            rows.collect()
        })
    }

    /// Endpoints by id, in the order asked for; those that are not there are left out.
    pub fn endpoints_of(&self, ids: &[EndpointId]) -> Result<Vec<Endpoint>, StateError> {
        self.read("read endpoints", |connection| {
            ids.iter().filter_map(|id| find(connection, *id).transpose()).collect()
        })
    }
}

fn narrow(row: &Row<'_>) -> rusqlite::Result<Narrow> {
    let standing = row.get_ref(9)?.as_str()?;
    let (ended, farewell) =
        (row.get_ref(11)?.as_str_or_null()?, row.get_ref(12)?.as_str_or_null()?);
    let farewell = farewell.and_then(Farewell::of_name);
    let needs = Needs::of_text(row.get_ref(13)?.as_str_or_null()?.unwrap_or_default());
    Ok(Narrow {
        id: EndpointId(row.get(0)?),
        client: parsed(row.get_ref(1)?.as_str()?.parse(), 1)?,
        host_name: row.get(2)?,
        os: row.get(3)?,
        agent_version: row.get(4)?,
        enrolled_ns: from_sql(row.get(5)?),
        seen_ns: from_sql(row.get(6)?),
        site: row.get(7)?,
        criticality: of_rank(row.get(8)?),
        contained: !standing.is_empty(),
        isolated: standing.contains(",isolate,"),
        silence: presence::silence(farewell, ended.and_then(Ended::of_name)),
        needs: needs.and(None, row.get(10)?, row.get(14)?),
    })
}

const SQL: &str = "
SELECT e.id, e.client, e.host_name, e.os, e.agent_version, e.enrolled_ns,
       max(coalesce(e.last_seen_ns, 0), e.health_ns), note.site, coalesce(note.criticality, 1),
       e.standing, e.clock_offset_ns, e.ended, e.farewell, e.needs,
       EXISTS (SELECT 1 FROM clone WHERE clone.endpoint = e.id)
FROM endpoint AS e LEFT JOIN note ON note.endpoint = e.id
WHERE e.client IN (SELECT value FROM json_each(?1))
  AND (?2 IS NULL OR instr(lower(e.host_name), lower(?2)) > 0
       OR substr(lower(hex(e.id)), 1, length(?2)) = lower(?2))
  AND (?3 IS NULL OR instr(lower(e.host_name || char(10) || e.os || char(10) || e.kernel || char(10)
                                 || e.agent_version || char(10) || coalesce(note.role, '')), lower(?3)) > 0
       OR EXISTS (SELECT 1 FROM label WHERE label.endpoint = e.id AND instr(label, lower(?3)) > 0))
  AND (?4 IS NULL OR instr(lower(e.os), lower(?4)) > 0)
  AND (?5 IS NULL OR coalesce(note.site, '') = ?5)
  AND (?6 IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(?6) WHERE value NOT IN
                  (SELECT label FROM label WHERE label.endpoint = e.id)))
  AND (?7 IS NULL OR coalesce(note.criticality, 1) = ?7)
  AND (?8 IS NULL OR (e.standing <> '') = ?8)
  AND (?9 IS NULL OR instr(e.standing, ?9) > 0)";
