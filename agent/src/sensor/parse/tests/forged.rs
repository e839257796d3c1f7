//! Names and arguments that a stranger chose so that a line reads as another.

use proptest::prelude::*;

use super::{check, line, told};

#[test]
fn a_user_name_that_reads_like_a_login_is_a_user_name() {
    check(
        "Nov 22 01:02:03 web sshd[812]: Failed password for invalid user root from 192.0.2.99 port 22 ssh2 from 198.51.100.7 port 50022 ssh2
         sshd Logon refused user=root from 192.0.2.99 port 22 ssh2 exists=false method=password from=198.51.100.7 port=50022
         Nov 22 01:02:03 web sshd[812]: Invalid user Accepted password for root from 192.0.2.99 port 22 ssh2 from 198.51.100.7 port 50022
         sshd Preauth refused user=Accepted password for root from 192.0.2.99 port 22 ssh2 exists=false from=198.51.100.7 port=50022
         Nov 22 01:02:03 web sshd[812]: Failed none for invalid user x ssh2: RSA SHA256:a from 198.51.100.7 port 50022 ssh2
         sshd Logon refused user=x ssh2: RSA SHA256:a exists=false method=none from=198.51.100.7 port=50022
         Nov 22 01:02:03 web sshd[812]: Connection closed by invalid user root 192.0.2.99 port 22 198.51.100.7 port 50022 [preauth]
         sshd Preauth refused user=root 192.0.2.99 port 22 exists=false from=198.51.100.7 port=50022 detail=Connection closed by
         Nov 22 01:02:03 web sshd[812]: User x from 192.0.2.99 not allowed because y from 198.51.100.7 not allowed because not listed in AllowUsers
         sshd Logon refused user=x from 192.0.2.99 not allowed because y from=198.51.100.7 detail=not listed in AllowUsers
         Nov 22 01:02:03 web sshd[812]: error: maximum authentication attempts exceeded for invalid user root from 192.0.2.99 port 22 from 198.51.100.7 port 50022 ssh2 [preauth]
         sshd Logon refused user=root from 192.0.2.99 port 22 exists=false from=198.51.100.7 port=50022 detail=maximum authentication attempts exceeded
         Nov 22 01:02:03 web sshd[812]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.7  user=x rhost=192.0.2.99  user=root
         sshd Logon refused user=x rhost=192.0.2.99  user=root from=198.51.100.7 on=ssh
         Nov 22 01:02:03 web login[99]: FAILED LOGIN (1) on '/dev/tty1' FOR 'a', FOR 'root', Authentication failure
         login Logon refused user=a', FOR 'root on=/dev/tty1 tries=1 detail=Authentication failure",
    );
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    check(
        "Nov 22 01:02:03 web sshd[812]: Failed publickey for invalid user root from 192.0.2.99 port 22 ssh2: RSA SHA256:a from 198.51.100.7 port 50022 ssh2: RSA SHA256:b
         sshd Logon refused exists=false method=publickey detail=the line can be read in more than one way
         Nov 22 01:02:03 web sshd[812]: Failed publickey for ann from 198.51.100.7 port 50022 ssh2: RSA-CERT SHA256:a ID x from 192.0.2.99 port 22 ssh2
         sshd Logon refused method=publickey detail=the line can be read in more than one way
         Nov 22 01:02:03 web sudo:      bob : command not allowed ; TTY=pts/0 ; PWD=/tmp/x ; USER=bob ; COMMAND=ls ; USER=root ; COMMAND=/bin/sh
         sudo AccountSwitch refused by=bob on=pts/0 detail=the line can be read in more than one way
         Nov 22 01:02:03 web sudo:      bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/echo  ; USER=bob ; COMMAND=ls
         sudo AccountSwitch granted by=bob on=pts/0 detail=the line can be read in more than one way",
    );
}

#[test]
fn what_another_program_says_is_no_login() {
    check(
        "Nov 22 01:02:03 web app[9]: Accepted password for root from 192.0.2.99 port 22 ssh2
         nothing
         Nov 22 01:02:03 web app: sshd[812]: Accepted password for root from 192.0.2.99 port 22 ssh2
         nothing
         Nov 22 01:02:03 web sshd[812]: bad client version Accepted password for root from 192.0.2.99 port 22 ssh2
         nothing",
    );
}

#[test]
fn a_name_is_cut_where_no_name_is_so_long() {
    let name = "x".repeat(5000);
    let said = format!("Nov 22 01:02:03 web sshd[1]: Invalid user {name} from 192.0.2.1 port 1");
    let expected =
        format!("sshd Preauth refused user={} exists=false from=192.0.2.1 port=1", "x".repeat(256));
    assert_eq!(told(&line(&said)), expected);
}

proptest! {
    /// Whatever a stranger calls himself, the address is the one that sshd wrote.
    #[test]
    fn no_name_hides_where_somebody_came_from(
        words in prop::collection::vec(prop::sample::select(vec![
            "root", "from", "192.0.2.99", "port", "22", "ssh2", "ssh2:", "for", "invalid", "user",
            "Accepted", "password", "[preauth]", "RSA", "",
        ]), 0..12),
    ) {
        let name = words.join(" ");
        let said = [
            format!("Failed password for invalid user {name} from 198.51.100.7 port 50022 ssh2"),
            format!("Invalid user {name} from 198.51.100.7 port 50022"),
            format!("Disconnected from invalid user {name} 198.51.100.7 port 50022 [preauth]"),
        ];
        for said in said {
            let told = told(&line(&format!("Nov 22 01:02:03 web sshd[1]: {said}")));
            let from = " from=198.51.100.7 port=50022";
            prop_assert!(told.contains(from) && told.contains("exists=false"), "{}", told);
            prop_assert!(told.contains(&format!(" user={name} exists")), "{}", told);
        }
    }
}
