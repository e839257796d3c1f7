//! What is taken out, what stays, and that nothing planted survives.

use cordon_proto::event::Severity;
use cordon_proto::event::log::Run;
use cordon_proto::event::process::Tier;
use cordon_proto::event::redaction::length_before;
use cordon_proto::policy::SecretPattern;
use proptest::prelude::*;

use super::*;

fn redacted(redactor: &Redactor, form: Form, text: &str) -> (String, Option<Vec<Redaction>>) {
    let mut text = Text::from(text.replace('·', "\0"));
    let marks = redactor.text(&mut text, form);
    (text.to_lossy().replace('\0', "·").replace(REPLACEMENT, "[]"), marks)
}

/// Each line `rule | text | what becomes of it`, `·` for NUL and `[]` for what was taken out.
#[track_caller]
fn check(form: Form, table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [rule, text, expected] = parts[..] else { panic!("{line}") };
        let (becomes, marks) = redacted(&Redactor::default(), form, text);
        assert_eq!(becomes, expected, "{line}");
        let marks = marks.expect(line);
        assert!(marks.iter().any(|mark| mark.rule == rule), "{line}: {marks:?}");
        let before = length_before(
            becomes.replace("[]", REPLACEMENT).replace('·', "\0").len(),
            Some(&marks),
        );
        assert_eq!(before, text.replace('·', "\0").len() as u64, "{line}");
    }
}

#[track_caller]
fn check_stays(form: Form, table: &str) {
    for text in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert_eq!(redacted(&Redactor::default(), form, text), (text.to_owned(), None));
    }
}

#[test]
fn secrets_in_arguments_are_taken_out() {
    check(
        Form::Arguments,
        "secret-option | app·--password·hunter2·run· | app·--password·[]·run·
         secret-option | app·--password=hunter2 x·run· | app·--password=[]·run·
         secret-option | app·--db-password·a b·run· | app·--db-password·[]·run·
         secret-option | app·--api-key=k1· | app·--api-key=[]·
         secret-option | keytool·-storepass·changeit· | keytool·-storepass·[]·
         secret-option | openssl·rsa·-passin·pass:x· | openssl·rsa·-passin·[]·
         secret-option | sh·-c·app --password 'a b' --user ann· | sh·-c·app --password '[]' --user ann·
         secret-option | sh·-c·app --token=abc --user ann· | sh·-c·app --token=[] --user ann·
         mysql-password | mysql·-uroot·-phunter2·db· | mysql·-uroot·-p[]·db·
         mysql-password | /usr/bin/mysqldump·-pa b·db· | /usr/bin/mysqldump·-p[]·db·
         mysql-password | sudo·mariadb·-px· | sudo·mariadb·-p[]·
         mysql-password | bash·-lc·mysql -u root -phunter2 db; ls -pa· | bash·-lc·mysql -u root -p[] db; ls -pa·
         mysql-password | sh·-c·mysql -p\"a b\" db· | sh·-c·mysql -p\"[]\" db·
         secret-assignment | env·PGPASSWORD=a b·psql· | env·PGPASSWORD=[]·psql·
         secret-assignment | sh·-c·PGPASSWORD=hunter2 psql -h db· | sh·-c·PGPASSWORD=[] psql -h db·
         secret-assignment | sh·-c·export TOKEN='a b'; run· | sh·-c·export TOKEN='[]'; run·
         secret-assignment | sh·-c·X_SECRET=ab'c d'e run· | sh·-c·X_SECRET=[] run·
         secret-assignment | docker·run·-e·MYSQL_PWD=x·db· | docker·run·-e·MYSQL_PWD=[]·db·
         secret-assignment | curl·https://h/?token=abc&page=2· | curl·https://h/?token=[]&page=2·
         secret-assignment | sh·-c·curl https://h/?token=abc&page=2· | sh·-c·curl https://h/?token=[]&page=2·
         secret-field | curl·-d·{\"user\":\"ann\",\"password\":\"a\\\"b\"}· | curl·-d·{\"user\":\"ann\",\"password\":\"[]\"}·
         authorization | curl·-H·Authorization: Bearer abc.def·u· | curl·-H·Authorization: Bearer []·u·
         authorization | curl·-H·authorization:abc·u· | curl·-H·authorization:[]·u·
         secret-header | curl·-H·X-Api-Key: abc·u· | curl·-H·X-Api-Key: []·u·
         secret-header | curl·-H·PRIVATE-TOKEN: abc·u· | curl·-H·PRIVATE-TOKEN: []·u·
         curl-user | curl·-u·ann:hunter2·u· | curl·-u·ann:[]·u·
         curl-user | curl·-uann:hunter2·u· | curl·-uann:[]·u·
         curl-user | curl·-su·ann:a b·u· | curl·-su·ann:[]·u·
         curl-user | curl·--user=ann:x:y·u· | curl·--user=ann:[]·u·
         curl-user | sh·-c·curl -u 'ann:a b' u | sh·-c·curl -u 'ann:[]' u
         url-password | git·clone·https://ann:hunter2@h/r· | git·clone·https://ann:[]@h/r·
         url-password | psql·postgres://:p@ss@db/x· | psql·postgres://:[]@db/x·
         sshpass-password | sshpass·-p·hunter2·ssh·-p·22·h· | sshpass·-p·[]·ssh·-p·22·h·
         sshpass-password | sshpass·-phunter2·ssh·-p·22·h· | sshpass·-p[]·ssh·-p·22·h·
         sshpass-password | sh·-c·sshpass -v -p 'a b' ssh h· | sh·-c·sshpass -v -p '[]' ssh h·
         aws-key | x·AKIAIOSFODNN7EXAMPLE· | x·[]·
         aws-secret | aws·configure·set·aws_secret_access_key·wJalr/x· | aws·configure·set·aws_secret_access_key·[]·
         secret-assignment | AWS_SECRET_ACCESS_KEY=wJalr/x·aws· | AWS_SECRET_ACCESS_KEY=[]·aws·
         github-token | git·ghp_abcdefghijklmnopqrstuvwxyz0123456789· | git·[]·
         github-token | git·https://github_pat_11ABCDEFG0abcdefghij_abc@h/r· | git·https://[]@h/r·
         slack-token | x·xoxb-123456789012-abcdefABCDEF· | x·[]·
         private-key | x·-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY-----· | x·-----BEGIN RSA PRIVATE KEY-----[]-----END RSA PRIVATE KEY-----·
         private-key | x·-----BEGIN PRIVATE KEY-----MIIE cut | x·-----BEGIN PRIVATE KEY-----[]
         jwt | x·eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig_n-ature·y· | x·[]·y·",
    );
}

#[test]
fn secrets_in_lines_are_taken_out() {
    check(
        Form::Line,
        "secret-assignment | login ok, token=abc, user=ann | login ok, token=[] user=ann
         secret-assignment | db.password = hunter2 read | db.password = [] read
         secret-assignment | Server=db;Uid=a;Pwd=x;Port=1 | Server=db;Uid=a;Pwd=[];Port=1
         secret-assignment | {\"msg\":\"TOKEN=abc\",\"x\":\"y z\"} | {\"msg\":\"TOKEN=[]\",\"x\":\"y z\"}
         secret-assignment | ann : PWD=/root ; COMMAND=/usr/bin/env PGPASSWORD=x psql | ann : PWD=/root ; COMMAND=/usr/bin/env PGPASSWORD=[] psql
         secret-field | {\"secret\": \"a b\", \"x\": 1} | {\"secret\": \"[]\", \"x\": 1}
         secret-field | msg=\"{\\\"password\\\":\\\"a b\\\",\\\"x\\\":1}\" | msg=\"{\\\"password\\\":\\\"[]\\\",\\\"x\\\":1}\"
         secret-field | {'api_key': 12345, 'x': 1} | {'api_key': [], 'x': 1}
         secret-option | COMMAND=/bin/app --password hunter2 x | COMMAND=/bin/app --password [] x
         mysql-password | a0=\"mysql\" a1=\"-phunter2\" a2=\"db\" | a0=\"mysql\" a1=\"-p[]\" a2=\"db\"
         authorization | > Authorization: Basic YW5uOng= HTTP/1.1 | > Authorization: Basic [] HTTP/1.1
         authorization | {\"Authorization\":\"Bearer abc\"} | {\"Authorization\":\"Bearer []\"}
         url-password | fetching ftp://ann:x@h/f failed | fetching ftp://ann:[]@h/f failed",
    );
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    check_stays(
        Form::Arguments,
        "app·--password-file·x·
         app·--password-stdin·
         app·--password·
         app·--password=·
         app·--password·--user·ann·
         app·--no-password·db·
         ansible·--ask-become-pass·site.yml·
         gpg·--passphrase-fd·0·
         sh·-c·TOKEN= run·
         bypass=1·compass=north·
         env·PWD=/home/ann·OLDPWD=/tmp·
         mysql·-uroot·-p·db·
         mysql·-P3306·--protocol=tcp·
         docker·run·--name·mysql·-p3306:3306·mysql·
         ssh·-p·22·h·
         cp·-pr·a·b·
         tar·-pxf·a·
         sshpass·-f·file·ssh·-p·22·h·
         sshpass·-e·ssh·-p22·h·
         curl·-u·ann·https://h:8443/a@b·
         curl·https://h/x·-o·out·
         git·clone·https://ann@h/r·
         cat·/etc/passwd·
         passwd·ann·
         openssl·genrsa·
         ghp_short·xox·AKIA·eyJ·
         -----BEGIN CERTIFICATE-----·
         app·--password=***·",
    );
    check_stays(
        Form::Line,
        "sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2
         sshd[1]: Accepted publickey for ann from 192.0.2.1 port 22 ssh2: ED25519 SHA256:abc
         passwd: pam_unix(passwd:chauthtok): password changed for ann
         pam_unix(su:auth): authentication failure; logname= uid=1000 euid=0 tty=pts/0 ruser=ann rhost=  user=root
         sudo: ann : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/bin/ls
         expected token == found, password != old
         tokens=5 max_tokens=7 secretary=ann
         {\"password\":null,\"token\":\"\"}
         Authorization: Basic ***
         systemd[1]: Starting dispatch of password requests to console...",
    );
}

#[test]
fn a_policy_adds_patterns_and_switches_rules_off() {
    let pattern = |name: &str, regex: &str, literal: Option<&str>| SecretPattern {
        name: name.to_owned(),
        regex: regex.to_owned(),
        literal: literal.map(str::to_owned),
    };
    let patterns = vec![
        pattern("badge", "badge ([0-9]{4})", Some("badge")),
        pattern("iban", "DE[0-9]{4,}", None),
        pattern("never", "x*", Some("zzz")),
    ];
    let off = vec!["jwt".to_owned(), "secret-assignment".to_owned(), "unknown".to_owned()];
    let redactor = Redactor::new(Some(&Redactions { patterns, off })).unwrap();
    let (text, marks) =
        redacted(&redactor, Form::Line, "token=abc badge 1234 and DE123456 at xx, a://b:c@d");
    assert_eq!(text, "token=abc badge [] and [] at xx, a://b:[]@d");
    let names: Vec<_> = marks.unwrap().into_iter().map(|mark| mark.rule).collect();
    assert_eq!(names, ["badge", "iban", "url-password"]);
    let mut text = Text::from(&b"\xff badge 1234 \xfe\xfd badge 5678"[..]);
    assert_eq!(redactor.text(&mut text, Form::Line).unwrap()[0].times, 2);
    assert_eq!(text.as_bytes(), b"\xff badge [redacted] \xfe\xfd badge [redacted]");
    let bad = Redactions { patterns: vec![pattern("bad", "a(", None)], off: vec![] };
    assert!(Redactor::new(Some(&bad)).unwrap_err().to_string().contains("'bad' cannot be used"));
    let huge = Redactions { patterns: vec![pattern("huge", "(a{99}){99}", None)], off: vec![] };
    assert!(Redactor::new(Some(&huge)).is_err());
}

#[test]
fn every_name_fits_a_policy_and_is_there_once() {
    let off = RULES.iter().map(|rule| rule.name.to_owned()).collect();
    let all = Redactions { patterns: vec![], off };
    assert_eq!(all.check(), Ok(()));
    let redactor = Redactor::new(Some(&all)).unwrap();
    let text = "TOKEN=abc --password x a://b:c@d";
    assert_eq!(redacted(&redactor, Form::Line, text), (text.to_owned(), None));
}

#[test]
fn what_grows_past_its_limit_is_cut_and_says_so() {
    let args = Text::from("TOKEN=a\0".repeat(ARGS_BYTES_MAX / 8).into_bytes());
    let exec = Exec {
        args: Some(args),
        args_bytes: Some(ARGS_BYTES_MAX as u64),
        ..Exec::new(Tier::Bpf, 1)
    };
    let mut body = Body::Process(ProcessEvent::Exec(Box::new(exec)));
    Redactor::default().body(&mut body);
    let Body::Process(ProcessEvent::Exec(exec)) = body else { panic!("another body") };
    assert!(exec.args.unwrap().len() <= ARGS_BYTES_MAX);
    assert!(exec.redacted.is_some());
    let line = "token=a ".repeat(LOG_LINE_BYTES_MAX / 8);
    let mut body = Body::Log(LogLine { line: line.as_str().into(), ..LogLine::default() });
    Redactor::default().body(&mut body);
    let Body::Log(line) = body else { panic!("another body") };
    assert!(line.line.len() <= LOG_LINE_BYTES_MAX);
    assert!(line.redacted.is_some());
}

/// Texts around a planted secret, `@` for it.
const PLACES: [&str; 16] = [
    "app --password @ run",
    "app --password=@ run",
    "env PGPASSWORD=@ psql",
    "X_API_KEY=@",
    "TOKEN='@' run",
    "mysql -u root -p@ db",
    "sshpass -p @ ssh h",
    "curl -u ann:@ https://h",
    "Authorization: Bearer @",
    "Authorization: Basic @ x",
    "https://ann:@@h/x",
    "{\"password\":\"@\"}",
    "ghp_@@@@@",
    "xoxb-@@@",
    "-----BEGIN PRIVATE KEY-----@-----END PRIVATE KEY-----",
    "eyJ@@@.eyJ@.@",
];

fn run(texts: &[&str]) -> Observation {
    let line = LogLine {
        offset: 7,
        line: texts.join("\n").as_str().into(),
        lines: u32::try_from(texts.len()).ok().filter(|count| *count > 1),
        run: (texts.len() > 1).then(Run::default),
        ..LogLine::default()
    };
    Observation { time_ns: 1, boot_ns: 2, severity: Severity::Low, body: Body::Log(line) }
}

fn without_secrets(observations: Vec<Observation>) -> Vec<Observation> {
    let mut sample = Sample { observations, ..Sample::default() };
    Redactor::default().sample(&mut sample);
    sample.observations
}

/// Lines that travel together, and how many of them each event carries without their secrets; `!` for
/// one that is marked.
#[track_caller]
fn check_run(texts: &[&str], expected: &str) {
    let show = |seen: &Observation| {
        let Body::Log(line) = &seen.body else { panic!("no line") };
        let mark = if line.redacted.is_some() { "!" } else { "" };
        format!("{}{mark}", line.count())
    };
    let shown: Vec<_> = without_secrets(vec![run(texts)]).iter().map(show).collect();
    assert_eq!(shown.join(" "), expected);
}

#[test]
fn a_line_with_a_secret_leaves_the_others_that_it_travelled_with() {
    check_run(&["a", "b", "c"], "3");
    check_run(&["a", "the token was renewed", "c"], "3");
    check_run(&["a", "b", "token=x1", "c"], "2 1! 1");
    check_run(&["token=x1", "b", "token=x1", "token=x2", "c", "d"], "1! 1 1! 1! 2");
    check_run(&["a", "token=x1"], "1 1!");
}

proptest! {
    #[test]
    fn secrets_of_lines_that_travel_together_are_those_of_each(
        texts in prop::collection::vec(prop::sample::select(vec![
            "a", "", "token=x1", "--password", "x1 y", "-----BEGIN PRIVATE KEY-----", "eyJ", "mysql -px",
            "-----END PRIVATE KEY-----", "authorization:", "Bearer x1", "curl", "-u a:b",
        ]), 2..12),
    ) {
        let run = run(&texts);
        let alone = without_secrets(run.apart().unwrap());
        let together = without_secrets(vec![run]);
        let together = together.into_iter().flat_map(|seen| seen.apart().unwrap_or_else(|| vec![seen]));
        prop_assert_eq!(together.collect::<Vec<_>>(), alone);
    }

    #[test]
    fn a_planted_secret_never_survives(
        secret in "[A-Z][a-zA-Z0-9]{7,20}", place in 0..PLACES.len(),
        before in "[a-z ]{0,20}", after in "[a-z ]{0,20}", as_arguments: bool,
    ) {
        let planted = PLACES[place].replace("@@h", "@\u{1}h").replace('@', &secret).replace('\u{1}', "@");
        let text = format!("{before} {planted} {after}");
        let text = if as_arguments { text.replace(' ', "\0") } else { text };
        let form = if as_arguments { Form::Arguments } else { Form::Line };
        // A header is one argument, or it is none; and so is a key.
        let is_one = planted.starts_with("Authorization") || planted.starts_with("-----");
        prop_assume!(!(as_arguments && is_one));
        let mut text = Text::from(text);
        let before = text.len() as u64;
        let marks = Redactor::default().text(&mut text, form);
        prop_assert!(!text.to_lossy().contains(&secret), "{:?}", text);
        prop_assert_eq!(length_before(text.len(), marks.as_deref()), before);
    }

    #[test]
    fn what_holds_no_secret_is_unchanged(words in "([a-z0-9/._:-]{1,9} ){0,20}") {
        prop_assume!(anchor::rules_due(words.as_bytes()) == 0);
        let mut text = Text::from(words.as_str());
        prop_assert_eq!(Redactor::default().text(&mut text, Form::Line), None);
        prop_assert_eq!(text.as_str(), Some(words.as_str()));
    }

    #[test]
    fn whatever_bytes_come_they_are_borne_and_lengths_add_up(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            prop::sample::select(vec![
                "--password", "TOKEN=", "\"secret\":", "curl", " -u ", "mysql", " -p", "sshpass",
                "authorization:", "://", "@", "eyJ", "-----BEGIN PRIVATE KEY-----", "secret_access_key",
                "\0", "'", "\"", "\\", " ", "ghp_aaaaaaaaaaaaaaaaaaaaaaaa", "x-api-key:", "=", "-",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ], 0..40),
        as_arguments: bool,
    ) {
        let bytes = bytes.concat();
        let form = if as_arguments { Form::Arguments } else { Form::Line };
        let mut text = Text::from(bytes.clone());
        let marks = Redactor::default().text(&mut text, form);
        prop_assert_eq!(length_before(text.len(), marks.as_deref()), bytes.len() as u64);
    }
}
