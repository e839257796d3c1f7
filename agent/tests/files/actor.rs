//! A process of its own that changes files as it is told to: what the sensor does itself is not
//! reported, and this test is the same process as the sensor.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use ring::rand::{SecureRandom, SystemRandom};

/// The argument that makes this program an actor.
const ACT: &str = "--act-on-files";

/// Acts, if that is what the program was started for.
pub(crate) fn act_if_asked() -> Option<ExitCode> {
    if std::env::args().nth(1).as_deref() != Some(ACT) {
        return None;
    }
    for line in io::stdin().lines() {
        let done = line.and_then(|line| act(&line.split('\t').collect::<Vec<_>>()));
        let answer = done.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        if writeln!(io::stdout(), "{answer}").is_err() {
            break;
        }
    }
    Some(ExitCode::SUCCESS)
}

fn act(words: &[&str]) -> io::Result<()> {
    match *words {
        ["write", path, content] => fs::write(path, content),
        ["chmod", path, mode] => {
            let mode = u32::from_str_radix(mode, 8).map_err(io::Error::other)?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        }
        ["rename", from, to] => fs::rename(from, to),
        ["remove", path] => fs::remove_file(path),
        ["encrypt", path] => encrypt(Path::new(path)),
        ["many", folder, count] => {
            many(Path::new(folder), count.parse().map_err(io::Error::other)?)
        }
        _ => Err(io::Error::other(format!("no such act: {words:?}"))),
    }
}

/// As ransomware does: written over in place, then renamed.
fn encrypt(path: &Path) -> io::Result<()> {
    let length = fs::read(path)?.len();
    let mut scrambled = vec![0; length];
    SystemRandom::new()
        .fill(&mut scrambled)
        .map_err(|_unsaid| io::Error::other("no random bytes"))?;
    // Chance must not put on the beginning of a known format.
    scrambled[0] = 0xa5;
    fs::write(path, scrambled)?;
    let mut locked = path.as_os_str().to_owned();
    locked.push(".locked");
    fs::rename(path, locked)
}

fn many(folder: &Path, count: usize) -> io::Result<()> {
    for number in 0..count {
        let folder = folder.join(format!("d{}", number % 50));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{number}.c")), format!("int n = {number};\n"))?;
    }
    Ok(())
}

/// An actor under way.
pub(crate) struct Actor {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(ACT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, answers }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it done, and waits until it is.
    #[track_caller]
    pub(crate) fn does(&mut self, words: &[&str]) {
        writeln!(self.orders, "{}", words.join("\t")).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), "done", "{words:?}");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It is ours alone, and has nothing left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
