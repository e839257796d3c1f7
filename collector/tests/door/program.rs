//! The program itself, started and stopped as a service is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use cordon_collector::authority::Authority;
use cordon_proto::sign::SigningKey;
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
    fs::write(folder.join("roster"), roster(&client("acme"), 1, &authority)).unwrap();
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
    let again = with("roster");
    assert!(text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));

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
