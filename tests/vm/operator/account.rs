//! Accounts with sessions of sshd, PAM and logind: one with a password and a key, one that is the
//! last administrator.

use anyhow::{Context, Result, ensure};

use crate::endpoint::{Endpoint, GUEST};

/// Everybody's password is `correct horse`. `eve` has a key, `ann` is the only one whom sudo lets do
/// everything. The askpass program types for ssh.
const MAKE: &str = r#"
hash='$6$cordon$UC5kvR3dCr3D/90572jG7KwuupAAZW2vEfW7avZxz2W5QKri57ULgf8ds.pppjR1wBUVqhvZlZqOhbmfr6CFJ/'
useradd -m -s /bin/bash -p "$hash" eve
useradd -m -s /bin/bash -p "$hash" -G sudo ann
chage -E 2030-01-01 eve
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ed25519 -N '' -f /root/key
install -d -m 700 -o eve -g eve /home/eve/.ssh
install -m 600 -o eve -g eve /root/key.pub /home/eve/.ssh/authorized_keys
printf '#!/bin/sh\necho correct horse\n' >/root/askpass && chmod 755 /root/askpass
systemctl restart ssh.service
"#;

const OPTIONS: &str = "-n -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                       -o LogLevel=ERROR -o ConnectTimeout=20";

/// All that tells who may come in, to the byte.
const LOOK: &str = "cd /etc; sha256sum passwd shadow group gshadow sudoers; ls -l --time-style=+ \
                    passwd shadow; cat shadow; cd /home/eve/.ssh; sha256sum *; \
                    ls -la --time-style=+ .";

const LOCK: [&str; 4] = ["lock", GUEST, "eve", "--end-sessions"];

fn by_key(what: &str) -> String {
    format!("ssh {OPTIONS} -o BatchMode=yes -i /root/key eve@127.0.0.1 {what}")
}

fn by_password() -> String {
    format!(
        "SSH_ASKPASS=/root/askpass SSH_ASKPASS_REQUIRE=force ssh {OPTIONS} \
         -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 eve@127.0.0.1 true"
    )
}

/// Makes them, with a session by key and one by `su`; how their files are before.
pub(super) fn made(here: &mut Endpoint<'_>) -> Result<String> {
    here.system.run(MAKE)?;
    here.system.await_success(&by_password())?;
    here.system.run(&format!("{} >/dev/null 2>&1 & true", by_key("sleep 7777")))?;
    here.system.run("setsid su - eve -c 'exec sleep 8888' >/dev/null 2>&1 & true")?;
    here.system.await_success("pgrep -u eve -f 'sleep 7777' && pgrep -u eve -f 'sleep 8888'")?;
    here.system.await_success("loginctl list-sessions --no-legend | grep -w eve")?;
    here.system.run(LOOK)
}

pub(super) fn is_refused(here: &Endpoint<'_>) -> Result<()> {
    here.refuses(&["lock", GUEST, "ann"], "ann is the last administrator")?;
    here.refuses(&["lock", GUEST, "root"], "root is never locked")?;
    here.refuses(&["lock", GUEST, "nobody-here"], "there is no account")
}

pub(super) fn is_locked(here: &mut Endpoint<'_>) -> Result<()> {
    here.prove(&LOCK)?;
    let (status, said) = here.system.try_run(&by_password())?;
    ensure!(status != 0, "locked, and a password is let in:\n{said}");
    stands(here)
}

pub(super) fn stands(here: &mut Endpoint<'_>) -> Result<()> {
    let gone = "! pgrep -u eve && ! loginctl list-sessions --no-legend | grep -w eve";
    here.system.run(gone).context("what ran as an account that is locked")?;
    for way in [by_key("true"), "su - eve -c true".to_owned()] {
        let (status, said) = here.system.try_run(&way)?;
        ensure!(status != 0, "locked, and `{way}` is let in:\n{said}");
    }
    Ok(())
}

/// As an administrator would who knows nothing of the case: each of the three locks.
pub(super) fn is_opened_again(here: &mut Endpoint<'_>) -> Result<()> {
    here.system.run("usermod -U -e 2030-01-01 eve")?;
    let keys = "cd /home/eve/.ssh && cp -p authorized_keys.cordon-locked authorized_keys";
    here.system.run(keys).map(drop)
}

pub(super) fn is_put_back(here: &mut Endpoint<'_>, before: &str) -> Result<()> {
    here.prove(&["unlock", GUEST, "eve"])?;
    // What was set aside a second time is not the account's from before.
    here.system.run("rm -f /home/eve/.ssh/authorized_keys.cordon-locked-1")?;
    let after = here.system.run(LOOK)?;
    ensure!(after == before, "not as it was; before:\n{before}\nafter:\n{after}");
    here.system.run(&by_key("true"))?;
    here.system.run(&by_password()).map(drop)
}
