//! The program itself, started and stopped as a service is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use cordon_collector::authority::Authority;
use cordon_proto::roster::{Operator, OperatorKey, Role, Roster};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::document::{self, Kind};
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{client, roster};

/// Ended with the test, however that goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon-collector"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts the service and waits until it says where its doors are; what it says later nobody reads,
/// and it must bear that.
fn serve(folder: &Path) -> (Running, Vec<SocketAddr>) {
    let mut command = program(folder, &["serve", "--config", "collector.toml"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let open = log.lines().map(Result::unwrap).find(|line| line.contains("the doors are open"));
    let open = open.expect("the service ended before its doors were open");
    let address = |door: &str| {
        let word = open.split(' ').find_map(|word| word.strip_prefix(door)).unwrap();
        word.parse().unwrap()
    };
    (running, vec![address("agents="), address("people=")])
}

#[test]
fn it_is_set_up_once_serves_and_ends_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = SigningKey::from_seed(&[200; 32]).unwrap();
    let keys = Authority { daily: authority.verifying(), recovery: authority.verifying() };
    fs::write(folder.join("authority.pub"), keys.to_text()).unwrap();
    fs::write(folder.join("roster"), administered("acme", 1, "ann", &authority)).unwrap();
    let stranger = SigningKey::from_seed(&[1; 32]).unwrap();
    fs::write(folder.join("forged"), roster(&client("acme"), 9, &stranger)).unwrap();
    let settings = format!(
        "state_dir = {:?}\nagents = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n",
        folder.join("state")
    );
    fs::write(folder.join("collector.toml"), settings).unwrap();

    let early = run(folder, &["serve", "--config", "collector.toml"]);
    assert!(text(&early.stderr).contains("not set up yet"), "{}", text(&early.stderr));
    let with = |roster| {
        let arguments = ["init", "--config", "collector.toml", "--authority", "authority.pub"];
        let more = ["--roster", roster, "--name", "collector.example", "--name", "192.0.2.1"];
        run(folder, &[&arguments[..], &more].concat())
    };
    let forged = with("forged");
    assert!(!forged.status.success());
    assert!(text(&forged.stderr).contains("signature"), "{}", text(&forged.stderr));
    assert!(!folder.join("state").exists(), "nothing is made before everything is checked");
    let made = with("roster");
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("names        collector.example, 192.0.2.1"));
    let code = invitation(&made).unwrap();
    assert_eq!(code.len(), 39, "{code}");

    let (mut running, doors) = serve(folder);
    for door in &doors {
        TcpStream::connect(door).unwrap();
    }
    kill_process(Pid::from_child(&running.0), Signal::TERM).unwrap();
    let ended = running.0.wait().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(doors.iter().all(|door| TcpStream::connect(door).is_err()));
    let status = text(&run(folder, &["status", "--config", "collector.toml"]).stdout);
    assert!(status.contains("client       acme: 0 endpoint(s), roster 1"), "{status}");
    assert!(status.contains("log          0 batches"), "{status}");
}

/// A roster with one administrator.
fn administered(name: &str, version: u64, operator: &str, authority: &SigningKey) -> Vec<u8> {
    let key = SigningKey::from_seed(&cordon_proto::sign::sha256(operator.as_bytes())).unwrap();
    let operator = Operator {
        id: operator.parse().unwrap(),
        keys: vec![OperatorKey::File(key.verifying())],
        roles: vec![Role::Administrator],
        sealing: None,
    };
    let roster = Roster { operators: vec![operator], ..Roster::new(client(name), version) };
    document::sign(Kind::Roster, &roster, b"", authority)
}

/// The code of the invitation that was printed.
fn invitation(output: &Output) -> Option<String> {
    let said = text(&output.stdout);
    let code = said.lines().find_map(|line| line.strip_prefix("invitation   "));
    code.map(str::to_owned)
}

#[test]
fn setting_up_again_keeps_what_is_there_takes_in_what_is_newer_and_invites_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [authority, other] = [200, 9].map(|seed| SigningKey::from_seed(&[seed; 32]).unwrap());
    for (file, key) in [("authority.pub", &authority), ("other.pub", &other)] {
        let keys = Authority { daily: key.verifying(), recovery: key.verifying() };
        fs::write(folder.join(file), keys.to_text()).unwrap();
    }
    for (file, document) in [
        ("acme-1", administered("acme", 1, "ann", &authority)),
        ("acme-1-else", administered("acme", 1, "eve", &authority)),
        ("acme-2", administered("acme", 2, "ann", &authority)),
        ("zeta-1", administered("zeta", 1, "zoe", &authority)),
        ("stolen-1", administered("acme", 3, "eve", &other)),
    ] {
        fs::write(folder.join(file), document).unwrap();
    }
    let settings = format!("state_dir = {:?}\n", folder.join("state"));
    fs::write(folder.join("collector.toml"), settings).unwrap();
    let init = |authority: &str, more: &[&str]| {
        let arguments = ["init", "--config", "collector.toml", "--authority", authority];
        run(folder, &[&arguments[..], &["--roster"], more].concat())
    };
    let pin = |output: &Output| text(&output.stdout).lines().next().unwrap_or_default().to_owned();
    let first = init("authority.pub", &["acme-1"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let again = init("authority.pub", &["acme-1"]);
    assert_eq!(pin(&again), pin(&first), "{}", text(&again.stderr));
    assert_ne!(invitation(&again), invitation(&first), "each is shown once");
    let newer = init("authority.pub", &["acme-2", "zeta-1", "--no-invitation"]);
    assert_eq!((pin(&newer), invitation(&newer)), (pin(&first), None));
    let status = text(&run(folder, &["status", "--config", "collector.toml"]).stdout);
    for line in ["acme: 0 endpoint(s), roster 2", "zeta: 0 endpoint(s), roster 1"] {
        assert!(status.contains(line), "{status}");
    }
    let zoe = init("authority.pub", &["zeta-1", "--invite", "zoe"]);
    assert!(text(&zoe.stdout).contains("operator     zoe"), "{}", text(&zoe.stderr));
    for (authority, roster, says) in [
        ("authority.pub", "acme-1", "has version 1, and version 2 is held already"),
        ("authority.pub", "acme-1-else", "has version 1, and version 2 is held already"),
        ("other.pub", "stolen-1", "set up already, under another authority"),
    ] {
        let refused = init(authority, &[roster]);
        assert!(!refused.status.success() && text(&refused.stderr).contains(says), "{roster}");
        assert!(text(&refused.stdout).is_empty());
    }
}

#[test]
fn its_help_teaches_the_first_steps_and_a_wrong_setting_names_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&run(folder.path(), &["--help"]).stdout);
    assert!(help.contains("First steps") && help.contains("cordon authority init"), "{help}");
    fs::write(folder.path().join("collector.toml"), "\n\nagent = 1\n").unwrap();
    let wrong = run(folder.path(), &["serve", "--config", "collector.toml"]);
    let wrong = text(&wrong.stderr);
    assert!(wrong.contains("collector.toml") && wrong.contains("line 3"), "{wrong}");
}
