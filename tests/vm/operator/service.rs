//! A service with a socket that starts it, another that needs it, and a third that is bound to that;
//! one that runs at boot and is only stopped; one that was masked before.

use anyhow::{Context, Result, ensure};

use crate::endpoint::{Endpoint, GUEST};

/// `web` starts at boot and by its socket, and is called `www`, too; `app` needs it; `bound` was
/// started by hand and ends with `app`; `plain` starts at boot; `idle` was masked by its people.
const MAKE: &str = r#"
cd /etc/systemd/system
unit() { printf '[Unit]\n%b\n[Service]\nExecStart=/bin/sleep infinity\nRestart=%s\n[Install]\n%b\n' \
  "$2" "$3" "$4" >"$1.service"; }
unit web '' always 'WantedBy=multi-user.target\nAlias=www.service'
unit app 'Requires=web.service\nAfter=web.service' no 'WantedBy=multi-user.target'
unit bound 'BindsTo=app.service\nAfter=app.service' no ''
unit plain '' always 'WantedBy=multi-user.target'
unit idle '' no ''
printf '[Socket]\nListenStream=/run/web.sock\n[Install]\nWantedBy=sockets.target\n' >web.socket
mv idle.service /usr/lib/systemd/system/
systemctl daemon-reload
systemctl -q enable web.service web.socket app.service plain.service
systemctl -q mask idle.service
systemctl start web.socket web.service app.service bound.service plain.service
"#;

/// All that the service manager and its folders say, but numbers of processes and times.
const LOOK: &str = "systemctl show -p Id,Names,LoadState,ActiveState,UnitFileState,FragmentPath \
    web.service web.socket app.service bound.service plain.service idle.service; \
    find /etc/systemd -mindepth 1 -printf '%p %y %l %m %u\\n' | sort";

const STOP: [&str; 4] = ["service", "stop", GUEST, "web"];
const PLAIN: [&str; 4] = ["service", "stop", GUEST, "plain"];

/// Makes them; how they are before anything is done to them.
pub(super) fn made(here: &mut Endpoint<'_>) -> Result<String> {
    here.system.run(MAKE)?;
    here.system.run(LOOK)
}

pub(super) fn is_refused(here: &Endpoint<'_>) -> Result<()> {
    for (unit, why) in [
        ("cordon-agent", "cordon-agent.service is protected"),
        ("cordon-hold.path", "cordon-hold.path is protected"),
        ("systemd-networkd", "the endpoint's network rests on it"),
        ("systemd-networkd.socket", "the endpoint's network rests on it"),
        ("dbus.socket", "systemd cannot be without it"),
        ("systemd-journald", "systemd cannot be without it"),
        ("user@1000", "it is a session"),
        ("nginx", "there is no unit nginx.service"),
    ] {
        here.refuses(&["service", "stop", GUEST, unit], why)?;
    }
    Ok(())
}

pub(super) fn stops(here: &mut Endpoint<'_>) -> Result<()> {
    here.prove(&[&STOP[..], &["--disable"]].concat())?;
    here.prove(&PLAIN)?;
    here.prove(&["service", "stop", GUEST, "idle", "--disable"])?;
    let along = "! systemctl is-active app.service && ! systemctl is-active bound.service && \
                 systemctl is-active ssh.service";
    here.system.run(along).context("what stops along, and what does not")?;
    // Neither by its name, nor by another of its names, nor by what needs it, nor by its socket.
    for way in ["start web", "start www", "start app", "start bound", "restart web"] {
        let (status, said) = here.system.try_run(&format!("systemctl {way}.service"))?;
        ensure!(status != 0, "`systemctl {way}` started it:\n{said}");
    }
    stands(here)
}

pub(super) fn stands(here: &mut Endpoint<'_>) -> Result<()> {
    let stands = "! systemctl is-active web.service && ! systemctl is-active web.socket && \
                  ! systemctl is-active plain.service && \
                  systemctl show --value -p LoadState web.service | grep -x masked && \
                  stat -c %a /etc/systemd/system.control | grep -x 755";
    here.system.run(stands).map(drop).context("a service that was stopped")
}

/// Takes away what keeps one from starting, and starts both.
pub(super) fn is_started_again(here: &mut Endpoint<'_>) -> Result<()> {
    let names = "web.service www.service";
    here.system.run(&format!("cd /etc/systemd/system.control && rm {names}"))?;
    // The agent may be looking just now, and stop them between these words.
    here.system.try_run("systemctl daemon-reload; systemctl start app.service")?;
    here.system.run("systemctl start plain.service").map(drop)
}

/// The one that is kept from starting did not start in this boot at all, nor did its socket; the
/// other did, and was stopped by the agent.
pub(super) fn stood_from_the_start(here: &mut Endpoint<'_>) -> Result<()> {
    let mut began = |unit: &str| {
        let show = "systemctl show --value -p ActiveEnterTimestampMonotonic";
        here.system.run(&format!("{show} {unit}"))
    };
    for unit in ["web.service", "web.socket"] {
        let at_us = began(unit)?;
        ensure!(at_us.trim() == "0", "{unit} was started in this boot, at {at_us} us");
    }
    let at_us = began("plain.service")?;
    ensure!(at_us.trim() != "0", "what is enabled was not started, so that nobody stopped it");
    here.system.await_success("! systemctl is-active plain.service")?;
    stands(here)
}

pub(super) fn is_put_back(here: &mut Endpoint<'_>, before: &str) -> Result<()> {
    for unit in ["web", "plain", "idle"] {
        here.prove(&["service", "restore", GUEST, unit])?;
    }
    let after = here.system.run(LOOK)?;
    ensure!(after == before, "not as it was; before:\n{before}\nafter:\n{after}");
    Ok(())
}
