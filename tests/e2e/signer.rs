//! `--passkey` at the terminal: a command is shown to the signing page alone, and what the page's
//! passkey signed is obeyed by the endpoint.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_packaging::fleet::{CLIENT, Fleet, free_port};
use cordon_proto::codec;
use cordon_proto::command::{Action, Command};
use serde_json::{Value, json};

use crate::passkey::Passkey;
use crate::scene::{PATIENCE, WEB, await_roster, await_some, fleet_of_one};

pub(crate) fn commands() -> Result<()> {
    let fleet = fleet_of_one()?;
    let port = free_port()?;
    let passkey = Passkey::at(port)?;
    roster(&fleet, &passkey)?;
    let (mut terminal, token) = ask(&fleet, port, "isolate")?;
    refuses_strangers(port, &token)?;
    let (_, asked) = http(port, "localhost", None, "GET", &format!("/ask/{token}"), None)?;
    let command = read(&asked)?;
    ensure!(matches!(command.action, Action::Isolate(_)), "another action: {:?}", command.action);
    ensure!(command.targets.len() == 1 && command.targets[0].host_name == WEB, "another endpoint");
    let value = passkey.assert(&command, &passkey.honest())?;
    answer(port, &token, &passkey, &value)?;
    ensure!(terminal.wait()?.success(), "the isolation was not proved");
    let stands = fleet.cordon_json(&["containment", "list"])?;
    ensure!(stands.len() == 1, "not one thing stands: {stands:?}");

    // What was signed elsewhere does not even leave the terminal.
    let (mut terminal, token) = ask(&fleet, port, "release")?;
    let (_, asked) = http(port, "localhost", None, "GET", &format!("/ask/{token}"), None)?;
    let mut claim = passkey.honest();
    "https://collector.example:8443".clone_into(&mut claim.origin);
    let value = passkey.assert(&read(&asked)?, &claim)?;
    answer(port, &token, &passkey, &value)?;
    ensure!(!terminal.wait()?.success(), "an assertion of another origin was taken");

    let (mut terminal, token) = ask(&fleet, port, "release")?;
    let (_, asked) = http(port, "localhost", None, "GET", &format!("/ask/{token}"), None)?;
    let value = passkey.assert(&read(&asked)?, &passkey.honest())?;
    answer(port, &token, &passkey, &value)?;
    ensure!(terminal.wait()?.success(), "the release was not proved");
    await_some("nothing stands any more", || {
        Ok(fleet.cordon_json(&["containment", "list"])?.is_empty().then_some(()))
    })
}

/// Gives ann a passkey, as an operator would.
fn roster(fleet: &Fleet, passkey: &Passkey) -> Result<()> {
    let path = |name: &str| fleet.folder().join(name).to_string_lossy().into_owned();
    let (draft, signed) = (path("acme-2.toml"), path("acme-2.cbor"));
    let added = format!("ann={}", passkey.shown());
    fleet.cordon(&["roster", "make", "--client", CLIENT, "--add-passkey", &added, "-o", &draft])?;
    fleet.cordon(&[
        "roster",
        "sign",
        &draft,
        "--key",
        &path("authority/authority.key"),
        "-o",
        &signed,
    ])?;
    fleet.cordon(&["roster", "push", &signed])?;
    await_roster(fleet, 2)
}

/// Starts a command at the terminal and waits until it says where to sign.
fn ask(fleet: &Fleet, port: u16, action: &str) -> Result<(std::process::Child, String)> {
    let mut command = fleet.command("cordon")?;
    command.args([action, WEB, "--reason", "e2e", "--passkey", "--wait"]);
    if action == "isolate" {
        command.arg("--yes");
    }
    let mut terminal = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(terminal.stderr.take().context("no words")?);
    let marker = format!("http://localhost:{port}/#ask=");
    let mut all = String::new();
    let token = loop {
        let mut line = String::new();
        ensure!(said.read_line(&mut line)? > 0, "it ended without asking: {all}");
        all.push_str(&line);
        if let Some((_, token)) = line.trim().split_once(&marker) {
            break token.to_owned();
        }
    };
    // Nobody reads on, and it must not be stopped by that.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    Ok((terminal, token))
}

/// Pages of others, names that lead here, and who does not know the token get nothing.
fn refuses_strangers(port: u16, token: &str) -> Result<()> {
    let path = format!("/ask/{token}");
    let evil = Some("https://evil.example");
    let body = Some(json!({ "refused": "by a stranger" }));
    for (host, origin, method, path, body) in [
        ("localhost", evil, "GET", path.as_str(), None),
        ("localhost", evil, "POST", &path, body.clone()),
        ("rebound.example", None, "GET", &path, None),
        ("127.0.0.1", None, "GET", &path, None),
        ("localhost", None, "POST", "/ask/00000000000000000000000000000000", body),
    ] {
        let (status, said) = http(port, host, origin, method, path, body)?;
        ensure!(status == 403 || status == 404, "{method} {path} of {host}: {status} {said}");
    }
    let (status, page) = http(port, "localhost", None, "GET", "/", None)?;
    ensure!(status == 200 && page.contains("Cordon signer"), "no page: {status} {page}");
    Ok(())
}

fn read(asked: &str) -> Result<Command> {
    let asked: Value = serde_json::from_str(asked).with_context(|| format!("reading {asked}"))?;
    let bytes = URL_SAFE_NO_PAD.decode(asked["command"].as_str().context("no command")?)?;
    Ok(codec::decode_strict(&bytes)?)
}

fn answer(port: u16, token: &str, passkey: &Passkey, value: &[u8]) -> Result<()> {
    let origin = format!("http://localhost:{port}");
    let (key, value) = (passkey.id().to_string(), URL_SAFE_NO_PAD.encode(value));
    let body = Some(json!({ "key": key, "value": value }));
    let path = format!("/ask/{token}");
    let (status, said) = http(port, "localhost", Some(&origin), "POST", &path, body)?;
    ensure!(status == 200, "the terminal did not take it: {status} {said}");
    Ok(())
}

/// One question and its answer, as a browser on this machine puts it.
fn http(
    port: u16,
    host: &str,
    origin: Option<&str>,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{origin}Connection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}
