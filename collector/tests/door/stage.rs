//! A collector with both doors open on loopback, and what a test needs to look inside.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cordon_collector::clock::Clock;
use cordon_collector::collector::Collector;
use cordon_collector::config::Config;
use cordon_collector::run::{self, Opened};
use cordon_collector::setup::{self, Init, Invited};
use cordon_collector::store::{LogOptions, NewToken};
use cordon_collector::tls::Identity;
use cordon_proto::id::{ClientId, TokenId};
use cordon_proto::roster::Roster;
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::document::{self, Kind};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// When tests begin, seconds since 1970.
pub(crate) const START_SECS: u64 = 1_800_000_000;

pub(crate) struct Stage {
    pub(crate) collector: Arc<Collector>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) clock: Clock,
    pub(crate) agents: SocketAddr,
    pub(crate) people: SocketAddr,
    pub(crate) authority: SigningKey,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

pub(crate) fn client(name: &str) -> ClientId {
    name.parse().unwrap()
}

pub(crate) fn roster(client: &ClientId, version: u64, authority: &SigningKey) -> Vec<u8> {
    let roster = Roster::new(client.clone(), version);
    document::sign(Kind::Roster, &roster, b"", authority)
}

impl Stage {
    /// A collector of clients `acme` and `other`, set up by `init` as a person would.
    pub(crate) async fn open() -> Self {
        Self::open_with(LogOptions::default(), |_| ()).await
    }

    pub(crate) async fn open_with(options: LogOptions, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let authority = SigningKey::from_seed(&[200; 32]).unwrap();
        let recovery = SigningKey::from_seed(&[201; 32]).unwrap();
        let keys = cordon_collector::authority::Authority {
            daily: authority.verifying(),
            recovery: recovery.verifying(),
        };
        fs::write(path("authority.pub"), keys.to_text()).unwrap();
        fs::write(path("acme"), roster(&client("acme"), 1, &authority)).unwrap();
        fs::write(path("other"), roster(&client("other"), 1, &authority)).unwrap();
        let settings = format!("state_dir = {:?}\n", path("state"));
        fs::write(path("collector.toml"), settings).unwrap();
        let clock = Clock::by_hand(START_SECS * 1_000_000_000);
        let init = Init {
            config: path("collector.toml"),
            authority: path("authority.pub"),
            rosters: vec![path("acme"), path("other")],
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            invited: Invited::Nobody,
        };
        let made = setup::init(&init, &clock).unwrap();
        assert_eq!(made.clients, [client("acme"), client("other")]);
        let mut config = Config::read(&path("collector.toml")).unwrap();
        change(&mut config);
        let opened = run::open_with(config, clock.clone(), options).unwrap();
        let Opened { collector, writer, identity } = opened;
        assert_eq!(collector.ca_pin, made.pin);
        std::thread::spawn(move || writer.run());
        let loopback = || TcpListener::bind(("127.0.0.1", 0));
        let (agents, people) = (loopback().await.unwrap(), loopback().await.unwrap());
        let addresses = (agents.local_addr().unwrap(), people.local_addr().unwrap());
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let doors = (agents, people);
        let apart = tokio::runtime::Handle::current();
        run::spawn_doors(&mut tasks, &apart, &collector, &identity, doors, &stopping).unwrap();
        let (agents, people) = addresses;
        let _folder = folder;
        Self { collector, identity, clock, agents, people, authority, stop, tasks, _folder }
    }

    /// Makes a token and answers its secret.
    pub(crate) fn token(
        &self,
        secret: &[u8],
        client: &ClientId,
        uses: u32,
        valid_secs: u64,
    ) -> Vec<u8> {
        let token = NewToken {
            id: TokenId::of(secret),
            client: client.clone(),
            uses,
            expires_secs: self.clock.wall_secs() + valid_secs,
            note: String::new(),
            made_by: "ann".parse().unwrap(),
        };
        self.collector.state.add_token(&token, self.clock.wall_ns()).unwrap();
        secret.to_vec()
    }

    /// Ends both doors and waits until every connection has ended.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    }
}
