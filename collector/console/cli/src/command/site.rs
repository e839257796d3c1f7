//! `cordon site`: the places at which a client's endpoints stand.

use clap::Subcommand;
use cordon_proto::id::ClientId;
use serde_json::{Map, Value};

use super::find_list;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Sites that are listed: a client has no more.
const LISTED_MAX: usize = 1000;

/// What can be done with sites.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List a client's sites
    #[command(after_help = "Examples:
  cordon site list --client acme
  cordon site list --json")]
    List {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Make a site
    #[command(after_help = "Examples:
  cordon site create hq --title 'Head office' --time-zone Europe/Vienna
  cordon endpoint set web-01 --site hq")]
    Create {
        /// Its name: a-z, 0-9 and . _ - : =, never changed
        name: String,
        /// What people call it
        #[arg(long, value_name = "TEXT", default_value = "")]
        title: String,
        /// Its time zone, by its name in the tz database
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        time_zone: String,
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Change what a site is called, or its time zone
    #[command(after_help = "Example:
  cordon site change hq --title 'Old head office'")]
    Change {
        /// Its name
        name: String,
        /// What people call it
        #[arg(long, value_name = "TEXT", required_unless_present = "time_zone")]
        title: Option<String>,
        /// Its time zone, by its name in the tz database
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Take a site away at which no endpoint stands
    #[command(after_help = "Example:
  cordon site remove hq --client acme")]
    Remove {
        /// Its name
        name: String,
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    match command {
        Command::List { client } => {
            let client = desk.client(client.as_ref())?;
            let path = ["clients", client.as_str(), "sites"];
            let mut table = Table::new(&["SITE", "TITLE", "TIME ZONE", "ENDPOINTS"]);
            find_list::show(context, &api, &path, &[], LISTED_MAX, &mut table, row).await
        }
        Command::Create { name, title, time_zone, client } => {
            let client = desk.client(client.as_ref())?;
            let body = serde_json::json!({ "name": name, "title": title, "time_zone": time_zone });
            let made = api.post(&["clients", client.as_str(), "sites"], body).await?;
            shown(context, &made)
        }
        Command::Change { name, title, time_zone, client } => {
            let client = desk.client(client.as_ref())?;
            let mut body = Map::new();
            body.extend(title.map(|title| ("title".to_owned(), Value::from(title))));
            body.extend(time_zone.map(|zone| ("time_zone".to_owned(), Value::from(zone))));
            let path = ["clients", client.as_str(), "sites", name.as_str()];
            let changed = api.patch(&path, Value::Object(body)).await?;
            shown(context, &changed)
        }
        Command::Remove { name, client } => {
            let client = desk.client(client.as_ref())?;
            api.delete(&["clients", client.as_str(), "sites", name.as_str()]).await?;
            context.output.note("Taken away.")?;
            Ok(Exit::Done)
        }
    }
}

fn row(item: &Value) -> Vec<Cell> {
    let fields = ["/name", "/title", "/time_zone", "/endpoints"];
    fields.iter().map(|field| Cell::new(word(item, field))).collect()
}

fn shown(context: &mut Context, site: &Value) -> anyhow::Result<Exit> {
    let mut table = Table::new(&["SITE", "TITLE", "TIME ZONE", "ENDPOINTS"]);
    find_list::items_shown(context, std::slice::from_ref(site), &mut table, row)?;
    Ok(Exit::Done)
}
