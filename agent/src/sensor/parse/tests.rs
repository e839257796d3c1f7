//! Heads of lines, and what lines of real programs tell: wordings of OpenSSH, PAM, sudo, util-linux
//! and the shadow tools as Debian 11 to 13, Ubuntu and RHEL 7 to 9 ship them.

mod forged;

use cordon_proto::event::log::{Journal, LogFormat, LogSource};
use cordon_proto::event::login::{AccountChange, Authentication, Origin, Status};
use cordon_proto::event::{Body, LogLine};
use cordon_proto::{Text, time};
use proptest::prelude::*;

use super::*;

fn line(text: &str) -> LogLine {
    LogLine {
        path: "/l".into(),
        device: 1,
        inode: 2,
        offset: 3,
        line: text.into(),
        ..LogLine::default()
    }
}

fn words(status: Status, optional: &[(&str, Option<String>)]) -> String {
    let mut words = match status {
        Status::Unknown => String::new(),
        Status::Success => " granted".to_owned(),
        Status::Failure => " refused".to_owned(),
    };
    for (name, value) in optional {
        if let Some(value) = value {
            words.push_str(&format!(" {name}={value}"));
        }
    }
    words
}

fn text(text: Option<&Text>) -> Option<String> {
    text.map(|text| text.to_lossy().into_owned())
}

fn authentication(event: &Authentication) -> String {
    let optional = [
        ("user", text(event.user.as_ref())),
        ("by", text(event.actor.as_ref())),
        ("exists", event.user_exists.map(|exists| exists.to_string())),
        ("method", text(event.method.as_ref())),
        ("from", text(event.from.as_ref())),
        ("port", event.from_port.map(|port| port.to_string())),
        ("on", text(event.terminal.as_ref())),
        ("tries", event.tries.map(|tries| tries.to_string())),
        ("key", text(event.key.as_ref())),
        ("run", text(event.command.as_ref())),
        ("detail", text(event.detail.as_ref())),
    ];
    format!("{} {:?}{}", event.service.to_lossy(), event.activity, words(event.status, &optional))
}

fn account(event: &AccountChange) -> String {
    let optional = [
        ("user", text(event.user.as_ref())),
        ("uid", event.uid.map(|uid| uid.to_string())),
        ("group", text(event.group.as_ref())),
        ("gid", event.gid.map(|gid| gid.to_string())),
        ("by", text(event.actor.as_ref())),
        ("home", text(event.home.as_ref())),
        ("shell", text(event.shell.as_ref())),
        ("detail", text(event.detail.as_ref())),
    ];
    format!("{} {:?}{}", event.service.to_lossy(), event.activity, words(event.status, &optional))
}

/// What a line tells, in words.
fn told(line: &LogLine) -> String {
    match interpret(line) {
        Some((_, Body::Authentication(event))) => authentication(&event),
        Some((_, Body::Account(event))) => account(&event),
        _ => "nothing".to_owned(),
    }
}

/// Pairs of lines: what stands in a log, and what that tells.
#[track_caller]
fn check(table: &str) {
    let lines: Vec<&str> = table.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for pair in lines.chunks(2) {
        let [said, expected] = pair else { panic!("{pair:?}") };
        assert_eq!(told(&line(said)), *expected, "{said}");
    }
}

#[test]
fn what_sshd_says_is_a_login() {
    check(
        "Nov 22 01:02:03 web sshd[812]: Accepted password for ann from 192.0.2.1 port 50022 ssh2
         sshd Logon granted user=ann method=password from=192.0.2.1 port=50022
         2026-11-22T01:02:03.123456+01:00 web sshd[812]: Accepted publickey for ann from 2001:db8::1 port 50022 ssh2: ED25519 SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
         sshd Logon granted user=ann method=publickey from=2001:db8::1 port=50022 key=ED25519 SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
         2026-11-22T01:02:03.123456+01:00 web sshd-session[812]: Accepted publickey for ann from 192.0.2.1 port 50022 ssh2: RSA-CERT SHA256:abc ID ann@corp (serial 7) CA ED25519 SHA256:def
         sshd Logon granted user=ann method=publickey from=192.0.2.1 port=50022 key=RSA-CERT SHA256:abc ID ann@corp (serial 7) CA ED25519 SHA256:def
         Nov 22 01:02:03 web sshd[812]: Accepted keyboard-interactive/pam for ann from 192.0.2.1 port 50022 ssh2
         sshd Logon granted user=ann method=keyboard-interactive/pam from=192.0.2.1 port=50022
         Nov 22 01:02:03 web sshd[812]: Accepted gssapi-with-mic for ann from 192.0.2.1 port 50022 ssh2: ann@EXAMPLE.COM
         sshd Logon granted user=ann method=gssapi-with-mic from=192.0.2.1 port=50022 key=ann@EXAMPLE.COM
         Nov 22 01:02:03 web sshd[812]: Failed password for root from 192.0.2.1 port 50022 ssh2
         sshd Logon refused user=root method=password from=192.0.2.1 port=50022
         Nov 22 01:02:03 web sshd[812]: Failed password for invalid user admin from 192.0.2.1 port 50022 ssh2
         sshd Logon refused user=admin exists=false method=password from=192.0.2.1 port=50022
         Nov 22 01:02:03 web sshd[812]: Failed none for invalid user  from 192.0.2.1 port 50022 ssh2
         sshd Logon refused user= exists=false method=none from=192.0.2.1 port=50022
         Nov 22 01:02:03 web sshd[812]: Failed publickey for ann from 192.0.2.1 port 50022 ssh2: RSA SHA256:abc
         sshd Logon refused user=ann method=publickey from=192.0.2.1 port=50022 key=RSA SHA256:abc
         Nov 22 01:02:03 web sshd[812]: Postponed publickey for ann from 192.0.2.1 port 50022 ssh2 [preauth]
         sshd Preauth user=ann method=publickey from=192.0.2.1 port=50022
         Nov 22 01:02:03 web sshd[812]: Partial publickey for ann from 192.0.2.1 port 50022 ssh2: RSA SHA256:abc
         sshd Preauth user=ann method=publickey from=192.0.2.1 port=50022 key=RSA SHA256:abc
         Nov 22 01:02:03 web sshd[812]: Invalid user admin from 192.0.2.1 port 50022
         sshd Preauth refused user=admin exists=false from=192.0.2.1 port=50022
         Nov 22 01:02:03 web sshd[812]: Invalid user admin from 192.0.2.1
         sshd Preauth refused user=admin exists=false from=192.0.2.1
         Nov 22 01:02:03 web sshd[812]: User ann from 192.0.2.1 not allowed because not listed in AllowUsers
         sshd Logon refused user=ann from=192.0.2.1 detail=not listed in AllowUsers
         Nov 22 01:02:03 web sshd[812]: User bob from host.example not allowed because account is locked
         sshd Logon refused user=bob from=host.example detail=account is locked
         Nov 22 01:02:03 web sshd[812]: error: maximum authentication attempts exceeded for root from 192.0.2.1 port 50022 ssh2 [preauth]
         sshd Logon refused user=root from=192.0.2.1 port=50022 detail=maximum authentication attempts exceeded
         Nov 22 01:02:03 web sshd[812]: error: maximum authentication attempts exceeded for invalid user x from 192.0.2.1 port 50022 ssh2 [preauth]
         sshd Logon refused user=x exists=false from=192.0.2.1 port=50022 detail=maximum authentication attempts exceeded
         Nov 22 01:02:03 web sshd[812]: fatal: Access denied for user ann by PAM account configuration [preauth]
         sshd Logon refused user=ann detail=PAM account configuration
         Nov 22 01:02:03 web sshd[812]: ROOT LOGIN REFUSED FROM 192.0.2.1 port 50022 [preauth]
         sshd Logon refused user=root from=192.0.2.1 port=50022
         Nov 22 01:02:03 web sshd[812]: Disconnected from user ann 192.0.2.1 port 50022
         sshd Logoff granted user=ann from=192.0.2.1 port=50022 detail=Disconnected from
         Nov 22 01:02:03 web sshd[812]: Disconnected from authenticating user root 192.0.2.1 port 50022 [preauth]
         sshd Preauth refused user=root from=192.0.2.1 port=50022 detail=Disconnected from
         Nov 22 01:02:03 web sshd[812]: Connection closed by invalid user a b 192.0.2.1 port 50022 [preauth]
         sshd Preauth refused user=a b exists=false from=192.0.2.1 port=50022 detail=Connection closed by
         Nov 22 01:02:03 web sshd[812]: Connection reset by authenticating user ann 192.0.2.1 port 50022 [preauth]
         sshd Preauth refused user=ann from=192.0.2.1 port=50022 detail=Connection reset by
         Nov 22 01:02:03 web sshd[812]: Received disconnect from 192.0.2.1 port 50022:11: disconnected by user
         nothing
         Nov 22 01:02:03 web sshd[812]: Server listening on 0.0.0.0 port 22.
         nothing
         Nov 22 01:02:03 web sshd[812]: Connection closed by 192.0.2.1 port 50022 [preauth]
         nothing",
    );
}

#[test]
fn what_pam_says_is_a_session_or_a_failure() {
    check(
        "Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:session): session opened for user ann(uid=1000) by (uid=0)
         sshd Logon granted user=ann
         Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:session): session opened for user ann by (uid=0)
         sshd Logon granted user=ann
         Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:session): session closed for user ann
         sshd Logoff granted user=ann
         Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root
         sshd Logon refused user=root from=192.0.2.1 on=ssh
         Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1
         sshd Logon refused from=192.0.2.1 on=ssh
         Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:auth): check pass; user unknown
         sshd Logon refused exists=false
         Nov 22 01:02:03 web sshd[812]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root
         sshd Logon refused user=root from=192.0.2.1 on=ssh tries=2
         Nov 22 01:02:03 web sshd[812]: PAM 1 more authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1
         sshd Logon refused from=192.0.2.1 on=ssh tries=1
         Nov 22 01:02:03 web sshd[812]: pam_sss(sshd:auth): authentication success; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1 user=ann
         sshd Logon granted user=ann from=192.0.2.1 on=ssh
         Nov 22 01:02:03 web sshd[812]: pam_faillock(sshd:auth): Consecutive login failures for user ann account temporarily locked
         sshd Logon refused user=ann detail=account temporarily locked
         Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:account): account ann has expired (account expired)
         sshd Logon refused user=ann detail=account ann has expired (account expired)
         Nov 22 01:02:03 web CRON[99]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)
         cron Logon granted user=root
         Nov 22 01:02:03 web CRON[99]: pam_unix(cron:session): session closed for user root
         cron Logoff granted user=root
         Nov 22 01:02:03 web crond[99]: pam_unix(crond:session): session opened for user root by (uid=0)
         crond Logon granted user=root
         Nov 22 01:02:03 web systemd[99]: pam_unix(systemd-user:session): session opened for user ann(uid=1000) by (uid=0)
         systemd-user Logon granted user=ann
         Nov 22 01:02:03 web login[99]: pam_unix(login:session): session opened for user ann(uid=1000) by LOGIN(uid=0)
         login Logon granted user=ann by=LOGIN
         Nov 22 01:02:03 web su[99]: pam_unix(su:session): session opened for user root(uid=0) by ann(uid=1000)
         su AccountSwitch granted user=root by=ann
         Nov 22 01:02:03 web su: pam_unix(su-l:auth): authentication failure; logname=ann uid=1000 euid=0 tty=pts/0 ruser=ann rhost=  user=root
         su-l AccountSwitch refused user=root by=ann on=pts/0
         Nov 22 01:02:03 web sudo: pam_unix(sudo:session): session opened for user root(uid=0) by ann(uid=1000)
         sudo AccountSwitch granted user=root by=ann
         Nov 22 01:02:03 web sudo: pam_unix(sudo:auth): authentication failure; logname=ann uid=1000 euid=0 tty=/dev/pts/0 ruser=ann rhost=  user=ann
         sudo AccountSwitch refused user=ann by=ann on=/dev/pts/0
         Nov 22 01:02:03 web sudo: pam_unix(sudo:auth): conversation failed
         nothing
         Nov 22 01:02:03 web passwd[99]: pam_unix(passwd:chauthtok): password changed for ann
         passwd PasswordChanged granted user=ann
         Nov 22 01:02:03 web chpasswd[99]: pam_unix(chpasswd:chauthtok): password changed for bob
         chpasswd PasswordChanged granted user=bob",
    );
}

#[test]
fn what_sudo_su_and_login_say_is_who_acts_as_whom() {
    check(
        "Nov 22 01:02:03 web sudo:      ann : TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/usr/bin/apt update
         sudo AccountSwitch granted user=root by=ann on=pts/0 run=/usr/bin/apt update
         Nov 22 01:02:03 web sudo[99]: ann : PWD=/ ; USER=root ; COMMAND=/bin/ls
         sudo AccountSwitch granted user=root by=ann run=/bin/ls
         Nov 22 01:02:03 web sudo:      ann : TTY=pts/0 ; PWD=/ ; USER=root ; GROUP=adm ; ENV=A=b ; COMMAND=/bin/ls ; TTY=x
         sudo AccountSwitch granted user=root by=ann on=pts/0 run=/bin/ls ; TTY=x
         Nov 22 01:02:03 web sudo:      ann : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/bin/ls
         sudo AccountSwitch refused user=root by=ann on=pts/0 tries=3 run=/bin/ls detail=3 incorrect password attempts
         Nov 22 01:02:03 web sudo:      bob : user NOT in sudoers ; TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/su -
         sudo AccountSwitch refused user=root by=bob on=pts/0 run=/bin/su - detail=user NOT in sudoers
         Nov 22 01:02:03 web sudo:      bob : command not allowed ; TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/su
         sudo AccountSwitch refused user=root by=bob on=pts/0 run=/bin/su detail=command not allowed
         Nov 22 01:02:03 web sudo:      bob : a password is required ; TTY=unknown ; PWD=/ ; USER=root ; COMMAND=list
         sudo AccountSwitch refused user=root by=bob on=unknown run=list detail=a password is required
         Nov 22 01:02:03 web sudo:      ann : (command continued) more of it
         nothing
         Nov 22 01:02:03 web su[99]: (to root) ann on pts/0
         su AccountSwitch granted user=root by=ann on=pts/0
         Nov 22 01:02:03 web su[99]: FAILED SU (to root) ann on pts/0
         su AccountSwitch refused user=root by=ann on=pts/0
         Nov 22 01:02:03 web su[99]: Successful su for root by ann
         su AccountSwitch granted user=root by=ann
         Nov 22 01:02:03 web su[99]: FAILED su for root by ann
         su AccountSwitch refused user=root by=ann
         Nov 22 01:02:03 web login[99]: LOGIN ON tty1 BY ann
         login Logon granted user=ann on=tty1
         Nov 22 01:02:03 web login[99]: LOGIN ON pts/1 BY ann FROM host.example
         login Logon granted user=ann from=host.example on=pts/1
         Nov 22 01:02:03 web login[99]: ROOT LOGIN ON tty1
         login Logon granted user=root on=tty1
         Nov 22 01:02:03 web login[99]: ROOT LOGIN  on '/dev/tty1'
         login Logon granted user=root on=/dev/tty1
         Nov 22 01:02:03 web login[99]: FAILED LOGIN (1) on '/dev/tty1' FOR 'UNKNOWN', Authentication failure
         login Logon refused user=UNKNOWN on=/dev/tty1 tries=1 detail=Authentication failure
         Nov 22 01:02:03 web login[99]: FAILED LOGIN 2 FROM tty1 FOR ann, Authentication failure
         login Logon refused user=ann from=tty1 tries=2 detail=Authentication failure
         Nov 22 01:02:03 web systemd-logind[99]: New session 5 of user ann.
         systemd-logind Logon granted user=ann detail=session 5
         Nov 22 01:02:03 web systemd-logind[99]: New session '5' of user 'ann' with class 'user' and type 'tty'.
         systemd-logind Logon granted user=ann detail=session 5
         Nov 22 01:02:03 web systemd-logind[99]: Removed session 5.
         nothing",
    );
}

#[test]
fn what_the_shadow_tools_say_is_a_change_of_an_account() {
    check(
        "Nov 22 01:02:03 web useradd[99]: new user: name=ann, UID=1001, GID=1001, home=/home/ann, shell=/bin/bash, from=/dev/pts/0
         useradd UserCreated granted user=ann uid=1001 gid=1001 home=/home/ann shell=/bin/bash detail=from /dev/pts/0
         Nov 22 01:02:03 web useradd[99]: new user: name=bob, UID=1002, GID=100, home=/srv/a, b, shell=/bin/sh
         useradd UserCreated granted user=bob uid=1002 gid=100 home=/srv/a, b shell=/bin/sh
         Nov 22 01:02:03 web useradd[99]: new group: name=ann, GID=1001
         useradd GroupCreated granted group=ann gid=1001
         Nov 22 01:02:03 web useradd[99]: add 'ann' to group 'sudo'
         useradd MemberAdded granted user=ann group=sudo
         Nov 22 01:02:03 web useradd[99]: add 'ann' to shadow group 'sudo'
         nothing
         Nov 22 01:02:03 web useradd[99]: failed adding user 'ann', exit code: 9
         useradd UserCreated refused user=ann detail=exit code: 9
         Nov 22 01:02:03 web groupadd[99]: group added to /etc/group: name=dev, GID=1003
         nothing
         Nov 22 01:02:03 web groupadd[99]: new group: name=dev, GID=1003
         groupadd GroupCreated granted group=dev gid=1003
         Nov 22 01:02:03 web usermod[99]: add 'ann' to group 'docker'
         usermod MemberAdded granted user=ann group=docker
         Nov 22 01:02:03 web usermod[99]: delete 'ann' from group 'docker'
         usermod MemberRemoved granted user=ann group=docker
         Nov 22 01:02:03 web usermod[99]: change user 'ann' shell from '/bin/sh' to '/bin/bash'
         usermod UserChanged granted user=ann detail=shell from '/bin/sh' to '/bin/bash'
         Nov 22 01:02:03 web usermod[99]: change user 'ann' UID from '1001' to '0'
         usermod UserChanged granted user=ann detail=UID from '1001' to '0'
         Nov 22 01:02:03 web usermod[99]: change user name 'ann' to 'root2'
         usermod UserChanged granted user=ann detail=name to 'root2'
         Nov 22 01:02:03 web usermod[99]: change user 'ann' password
         usermod PasswordChanged granted user=ann
         Nov 22 01:02:03 web usermod[99]: change user 'ann' expiration from 'never' to '2027-01-01'
         usermod AgingChanged granted user=ann detail=expiration from 'never' to '2027-01-01'
         Nov 22 01:02:03 web usermod[99]: lock user 'ann' password
         usermod Locked granted user=ann
         Nov 22 01:02:03 web usermod[99]: unlock user 'ann' password
         usermod Unlocked granted user=ann
         Nov 22 01:02:03 web userdel[99]: delete user 'ann'
         userdel UserDeleted granted user=ann
         Nov 22 01:02:03 web userdel[99]: removed group 'ann' owned by 'ann'
         userdel GroupDeleted granted group=ann
         Nov 22 01:02:03 web userdel[99]: removed shadow group 'ann' owned by 'ann'
         nothing
         Nov 22 01:02:03 web groupdel[99]: group 'dev' removed
         groupdel GroupDeleted granted group=dev
         Nov 22 01:02:03 web groupdel[99]: group 'dev' removed from /etc/group
         nothing
         Nov 22 01:02:03 web groupmod[99]: group changed in /etc/group (group dev/1003, new name: ops)
         groupmod GroupChanged granted group=dev detail=1003, new name: ops)
         Nov 22 01:02:03 web gpasswd[99]: user ann added by root to group sudo
         gpasswd MemberAdded granted user=ann group=sudo by=root
         Nov 22 01:02:03 web gpasswd[99]: user ann removed by root from group sudo
         gpasswd MemberRemoved granted user=ann group=sudo by=root
         Nov 22 01:02:03 web passwd[99]: password for 'ann' changed by 'root'
         passwd PasswordChanged granted user=ann by=root
         Nov 22 01:02:03 web chage[99]: changed password expiry for ann
         chage AgingChanged granted user=ann
         Nov 22 01:02:03 web chsh[99]: changed user 'ann' shell to '/bin/zsh'
         chsh UserChanged granted user=ann detail=shell to '/bin/zsh'",
    );
}

#[track_caller]
fn check_head(text: &str, expected: &str) {
    let assumed =
        Assumed { now_ns: time::from_rfc3339("2026-11-22T01:00:00Z").unwrap(), offset_secs: 3600 };
    let told = head(text.as_bytes(), &assumed).map(|head| {
        let parsed = head.to_parsed();
        let optional = [
            ("at", parsed.time_ns.map(time::rfc3339).map(|at| at.replace(".000000000", ""))),
            (
                "zone",
                parsed.zone.map(|zone| {
                    format!("{}{}", zone.offset_secs, if zone.assumed { "?" } else { "" })
                }),
            ),
            ("f", parsed.facility.map(|facility| facility.to_string())),
            ("s", parsed.severity.map(|severity| severity.to_string())),
            ("host", self::text(parsed.host.as_ref())),
            ("app", self::text(parsed.app.as_ref())),
            ("pid", parsed.pid.map(|pid| pid.to_string())),
            ("id", self::text(parsed.msgid.as_ref())),
            (
                "data",
                parsed.structured.map(|pairs| {
                    let pair = |pair: &cordon_proto::event::log::Pair| {
                        format!("{}={}", pair.name.to_lossy(), pair.value.to_lossy())
                    };
                    pairs.iter().map(pair).collect::<Vec<_>>().join(",")
                }),
            ),
            ("says", Some(String::from_utf8_lossy(&head.message).into_owned())),
        ];
        let format = match parsed.format {
            LogFormat::Rfc3164 => "3164",
            LogFormat::Rfc5424 => "5424",
            LogFormat::Json => "json",
        };
        format!("{format}{}", words(Status::Unknown, &optional))
    });
    assert_eq!(told.as_deref().unwrap_or("none"), expected, "{text}");
}

#[test]
fn heads_of_lines_are_read_in_their_three_forms() {
    check_head(
        "Nov 22 01:02:03 web sshd[812]: hello",
        "3164 at=2026-11-22T00:02:03Z zone=3600? host=web app=sshd pid=812 says=hello",
    );
    check_head(
        "<34>Oct  1 22:14:15 web su: 'su root' failed",
        "3164 at=2026-10-01T21:14:15Z zone=3600? f=4 s=2 host=web app=su says='su root' failed",
    );
    check_head(
        "Nov 22 01:02:03 web last message repeated 2 times",
        "3164 at=2026-11-22T00:02:03Z zone=3600? host=web says=last message repeated 2 times",
    );
    check_head(
        "2026-11-22T01:02:03.5-05:00 web app: x: y",
        "5424 at=2026-11-22T06:02:03.500000000Z zone=-18000 host=web app=app says=x: y",
    );
    check_head(
        "<165>1 2026-11-22T01:02:03.003Z web.example evntslog 8710 ID47 [ex@32473 iut=\"3\" a=\"b\\]\\\"c\"][p@1 x=\"\"] \u{feff}An event",
        "5424 at=2026-11-22T01:02:03.003000000Z zone=0 f=20 s=5 host=web.example app=evntslog pid=8710 id=ID47 data=ex@32473.iut=3,ex@32473.a=b]\"c,p@1.x= says=An event",
    );
    check_head("<34>1 - - - - - - x", "5424 f=4 s=2 says=x");
    check_head(
        "{\"ts\":1795000000.5,\"level\":\"warn\",\"msg\":\"a\\nb\",\"host\":\"web\",\"pid\":7,\"x\":{\"msg\":[1]}}",
        "json at=2026-11-18T11:06:40.500000000Z zone=0 s=4 host=web pid=7 says=a\nb",
    );
    check_head(
        "{\"time\":1795000000000,\"level\":30,\"message\":\"x\",\"message\":\"y\",\"app\":\"z\"}",
        "json at=2026-11-18T11:06:40Z zone=0 s=6 app=z says=x",
    );
    for text in ["", "hello", "{", "{}", "{\"x\":1}", "<999>x", "<34>x", "[1]", "<34>1 - -"] {
        check_head(text, "none");
    }
}

#[test]
fn an_entry_of_the_journal_says_whether_its_sender_is_who_it_claims() {
    #[track_caller]
    fn check(identifier: &str, comm: Option<&str>, expected: Option<bool>) {
        let journal = Journal {
            cursor: "c".to_owned(),
            identifier: Some(identifier.into()),
            comm: comm.map(Text::from),
            pid: Some(7),
            uid: Some(1000),
            ..Journal::default()
        };
        let line = LogLine {
            line: "pam_unix(x:session): session opened for user root(uid=0) by (uid=0)".into(),
            source: Some(LogSource::Journal(Box::new(journal))),
            ..LogLine::default()
        };
        let Some((_, Body::Authentication(event))) = interpret(&line) else { panic!("nothing") };
        let Origin::Journal(origin) = event.origin else { panic!("{:?}", event.origin) };
        assert_eq!((origin.attested, origin.uid, event.pid), (expected, Some(1000), Some(7)));
    }
    check("sshd", Some("sshd"), Some(true));
    check("sshd", Some("sshd-session"), Some(true));
    check("CRON", Some("cron"), Some(true));
    check("systemd-logind-x", Some("systemd-logind-"), Some(true));
    check("sshd", Some("logger"), Some(false));
    check("sshd", None, None);
}

proptest! {
    #[test]
    fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let line = LogLine { line: bytes.clone().into(), ..LogLine::default() };
        drop(interpret(&line));
        drop(head(&bytes, &Assumed::default()).map(|head| head.to_parsed()));
    }

    #[test]
    fn any_words_behind_a_program_are_borne(
        app in prop::sample::select(vec!["sshd", "sudo", "su", "login", "useradd", "gpasswd", "x", "systemd-logind"]),
        words in prop::collection::vec(prop::sample::select(vec![
            " for ", " from ", " port ", " ssh2", "ssh2: ", "Accepted", "Failed password", "invalid user ",
            "pam_unix(", "sshd:auth): ", "authentication failure; ", " rhost=", " user=", " : ", "TTY=",
            " ; USER=", " ; COMMAND=", "(to ", ") ", " on ", "FAILED LOGIN", " FOR ", "'", "new user: name=",
            ", UID=", "add '", "' to group '", "delete user '", "group '", "' removed", "1", "[preauth]",
            "Disconnected from user ", "New session ", " of user ", "PAM ", " more authentication failure", "; ",
        ]), 0..12),
    ) {
        drop(interpret(&line(&format!("Nov 22 01:02:03 web {app}[1]: {}", words.concat()))));
    }
}
