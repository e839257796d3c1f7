//! The kernel's audit records of programs that were run, put together. Pure.
//!
//! One event is several records under one serial number, ended by one that says so: the call, the
//! arguments (long ones in pieces, over several records), the directory, the paths. Texts stand in
//! quotes, or in hexadecimal digits where they hold anything unusual.

use std::collections::VecDeque;

use cordon_proto::Text;
use cordon_proto::event::process::{Exec, Tier};
use cordon_proto::limits::ARGS_BYTES_MAX;

/// The kinds of record that are looked at.
const SYSCALL: u16 = 1300;
const PATH: u16 = 1302;
const CWD: u16 = 1307;
const EXECVE: u16 = 1309;
const END: u16 = 1320;

/// Events that are not ended yet. A processor writes one at a time, so more than there are
/// processors means that ends were lost.
const OPEN_MAX: usize = 256;

/// Events whose end has not come.
#[derive(Debug, Default)]
pub struct Assembly {
    open: VecDeque<(u64, Parts)>,
}

/// What an event has told so far.
#[derive(Debug, Default)]
struct Parts {
    call: Option<Call>,
    args: Option<Args>,
    cwd: Option<Text>,
    path: Option<Text>,
}

#[derive(Debug, Default)]
struct Call {
    pid: u32,
    parent: Option<u32>,
    uid: Option<u32>,
    euid: Option<u32>,
    login_uid: Option<u32>,
    session: Option<u32>,
    tty: Option<Text>,
    program: Option<Text>,
}

/// Arguments as the kernel holds them: each ended by a NUL byte.
#[derive(Debug, Default)]
struct Args {
    bytes: Vec<u8>,
    total: u64,
    /// The argument that is told in pieces and not ended yet.
    pieces_of: Option<u32>,
}

impl Assembly {
    /// Takes a record; answers the start that it completes.
    pub fn take(&mut self, kind: u16, text: &[u8]) -> Option<Exec> {
        if !matches!(kind, SYSCALL | PATH | CWD | EXECVE | END) {
            return None;
        }
        let (serial, fields) = split(text)?;
        if kind == END {
            let at = self.open.iter().position(|(open, _)| *open == serial)?;
            return self.open.remove(at)?.1.exec();
        }
        let parts = self.parts(serial);
        match kind {
            SYSCALL => parts.call = call(fields),
            EXECVE => parts.args.get_or_insert_default().take(fields),
            CWD => parts.cwd = value(fields, b"cwd").and_then(text_of),
            // The first path is the program as it was called; the others are its interpreters.
            _path if value(fields, b"item") == Some(b"0") => {
                parts.path = value(fields, b"name").and_then(text_of);
            }
            _other_path => {}
        }
        None
    }

    fn parts(&mut self, serial: u64) -> &mut Parts {
        let at = self.open.iter().position(|(open, _)| *open == serial);
        let at = at.unwrap_or_else(|| {
            if self.open.len() >= OPEN_MAX {
                drop(self.open.pop_front());
            }
            self.open.push_back((serial, Parts::default()));
            self.open.len() - 1
        });
        &mut self.open[at].1
    }
}

impl Parts {
    /// Only calls that ran a program have arguments; only those that succeeded count.
    fn exec(self) -> Option<Exec> {
        let (call, mut args) = (self.call?, self.args?);
        args.end_pieces();
        Some(Exec {
            parent_pid: call.parent,
            uid: call.uid,
            euid: call.euid,
            image: self.path,
            image_resolved: call.program,
            args: Some(Text::from(args.bytes)),
            args_bytes: Some(args.total),
            cwd: self.cwd,
            tty: call.tty,
            login_uid: call.login_uid,
            audit_session: call.session,
            ..Exec::new(Tier::Audit, call.pid)
        })
    }
}

impl Args {
    fn take(&mut self, fields: &[u8]) {
        for (name, value) in pairs(fields) {
            let Some(name) = name.strip_prefix(b"a") else { continue };
            let Some(value) = decode(value) else { continue };
            let piece = name.iter().position(|byte| *byte == b'[');
            let Some(number) = number(&name[..piece.unwrap_or(name.len())]) else { continue };
            if self.pieces_of != Some(number) {
                self.end_pieces();
            }
            self.push(&value);
            match piece {
                Some(_) => self.pieces_of = Some(number),
                None => self.push(b"\0"),
            }
        }
    }

    fn end_pieces(&mut self) {
        if self.pieces_of.take().is_some() {
            self.push(b"\0");
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = ARGS_BYTES_MAX - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn call(fields: &[u8]) -> Option<Call> {
    let field = |name: &[u8]| value(fields, name);
    let number = |name: &[u8]| field(name).and_then(number);
    if field(b"success") != Some(b"yes") {
        return None;
    }
    Some(Call {
        pid: number(b"pid")?,
        parent: number(b"ppid"),
        uid: number(b"uid"),
        euid: number(b"euid"),
        login_uid: number(b"auid"),
        session: number(b"ses"),
        tty: field(b"tty").map(tty),
        program: field(b"exe").and_then(text_of),
    })
}

/// The kernel's name of a terminal as people write it: `pts0` is `pts/0`.
fn tty(name: &[u8]) -> Text {
    let number =
        name.strip_prefix(b"pts").filter(|rest| rest.first().is_some_and(u8::is_ascii_digit));
    match number {
        _ if name == b"(none)" => Text::default(),
        Some(number) => Text::from([b"pts/", number].concat()),
        None => Text::from(name),
    }
}

/// The serial number, and the fields after it: `audit(1364481363.243:24287): arch=…`.
fn split(text: &[u8]) -> Option<(u64, &[u8])> {
    let text = text.strip_prefix(b"audit(")?;
    let end = text.iter().position(|byte| *byte == b')')?;
    let (stamp, rest) = text.split_at(end);
    let colon = stamp.iter().position(|byte| *byte == b':')?;
    let serial = std::str::from_utf8(&stamp[colon + 1..]).ok()?.parse().ok()?;
    Some((serial, rest.strip_prefix(b"):")?))
}

/// Names and values. Values hold no spaces: a text with one is written in digits.
fn pairs(fields: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let ends = |byte: &u8| matches!(byte, b' ' | b'\n' | 0);
    fields.split(ends).filter_map(|field| {
        let equals = field.iter().position(|byte| *byte == b'=')?;
        Some((&field[..equals], &field[equals + 1..]))
    })
}

fn value<'a>(fields: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pairs(fields).find_map(|(found, value)| (found == name).then_some(value))
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn text_of(value: &[u8]) -> Option<Text> {
    decode(value).map(Text::from)
}

/// A text out of its quotes or digits; none for `(null)` and whatever is neither.
fn decode(value: &[u8]) -> Option<Vec<u8>> {
    if let Some(quoted) = value.strip_prefix(b"\"") {
        return quoted.strip_suffix(b"\"").map(<[u8]>::to_vec);
    }
    let (pairs, odd) = value.as_chunks::<2>();
    if pairs.is_empty() || !odd.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Linux 6.1 wrote them; numbers and names are made up.
    const CALL: &str = "arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=55d1 a2=55d2 a3=8 \
                        items=2 ppid=2686 pid=3538 auid=1000 uid=1000 gid=1000 euid=0 suid=0 \
                        fsuid=0 egid=1000 sgid=1000 fsgid=1000 tty=pts0 ses=4 comm=\"cat\" \
                        exe=\"/usr/bin/cat\" subj=unconfined key=\"execs\"";
    const PATHS: [&str; 2] = [
        "item=0 name=\"/bin/cat\" inode=393372 dev=fd:01 mode=0100755 ouid=0 ogid=0 rdev=00:00 \
         nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0",
        "item=1 name=\"/lib64/ld-linux-x86-64.so.2\" inode=1 dev=fd:01 mode=0100755 ouid=0 ogid=0 \
         rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0",
    ];

    fn take(assembly: &mut Assembly, serial: u64, kind: u16, fields: &str) -> Option<Exec> {
        let text = format!("audit(1364481363.243:{serial}): {fields}");
        assembly.take(kind, text.as_bytes())
    }

    /// One event whose arguments come in these records.
    fn event(call: &str, args: &[&str]) -> Option<Exec> {
        let mut assembly = Assembly::default();
        let mut give = |kind, fields: &str| take(&mut assembly, 7, kind, fields);
        assert_eq!(give(SYSCALL, call), None);
        for args in args {
            assert_eq!(give(EXECVE, args), None);
        }
        assert_eq!(give(CWD, "cwd=\"/root\""), None);
        PATHS.iter().for_each(|path| assert_eq!(give(PATH, path), None));
        assert_eq!(give(1327, "proctitle=636174002D6E"), None);
        give(END, "")
    }

    #[track_caller]
    fn check_args(args: &[&str], expected: &[u8], total: usize) {
        let exec = event(CALL, args).unwrap();
        assert_eq!(exec.args.unwrap().as_bytes(), expected);
        assert_eq!(exec.args_bytes, u64::try_from(total).ok());
    }

    #[test]
    fn an_event_becomes_a_start() {
        let exec = event(CALL, &["argc=2 a0=\"cat\" a1=\"-n\""]).unwrap();
        let expected = Exec {
            parent_pid: Some(2686),
            uid: Some(1000),
            euid: Some(0),
            image: Some("/bin/cat".into()),
            image_resolved: Some("/usr/bin/cat".into()),
            args: Some("cat\0-n\0".into()),
            args_bytes: Some(7),
            cwd: Some("/root".into()),
            tty: Some("pts/0".into()),
            login_uid: Some(1000),
            audit_session: Some(4),
            ..Exec::new(Tier::Audit, 3538)
        };
        assert_eq!(exec, expected);
    }

    #[test]
    fn unusual_texts_come_in_digits() {
        check_args(
            &["argc=3 a0=\"sh\" a1=\"-c\" a2=6563686F20222F5C22"],
            b"sh\0-c\0echo \"/\\\"\0",
            16,
        );
        check_args(&["argc=2 a0=\"a\" a1=FFfe"], b"a\0\xff\xfe\0", 5);
        check_args(&["argc=2 a0=\"a\" a1=\"\""], b"a\0\0", 3);
        let none = CALL.replace("pts0", "(none)").replace("\"/usr/bin/cat\"", "2F6120");
        let exec = event(&none, &["argc=1 a0=\"a\""]).unwrap();
        assert_eq!((exec.tty, exec.image_resolved), (Some("".into()), Some("/a ".into())));
    }

    #[test]
    fn long_arguments_come_in_pieces_over_several_records() {
        let first = "argc=3 a0=\"x\" a1_len=6 a1[0]=\"ab\"";
        check_args(&[first, "a1[1]=6364", "a1[2]=\"ef\" a2=\"z\""], b"x\0abcdef\0z\0", 11);
        check_args(&[first, "a1[1]=6364", "a1[2]=\"ef\""], b"x\0abcdef\0", 9);
        let long = format!("argc=1 a0=\"{}\"", "x".repeat(5000));
        check_args(&[&long], "x".repeat(ARGS_BYTES_MAX).as_bytes(), 5001);
    }

    #[test]
    fn calls_that_failed_or_ran_nothing_are_no_starts() {
        assert_eq!(event(&CALL.replace("success=yes", "success=no"), &["argc=1 a0=\"a\""]), None);
        assert_eq!(event(CALL, &[]), None);
    }

    #[test]
    fn events_may_come_mixed_and_without_an_end() {
        let mut assembly = Assembly::default();
        for serial in 0..1000 {
            take(&mut assembly, serial, SYSCALL, &CALL.replace("3538", &serial.to_string()));
            take(&mut assembly, serial, EXECVE, "argc=1 a0=\"a\"");
        }
        assert_eq!(assembly.open.len(), OPEN_MAX);
        assert_eq!(take(&mut assembly, 0, END, ""), None, "it had to make room");
        let newest = [998, 999].map(|serial| take(&mut assembly, serial, END, "").unwrap().pid);
        assert_eq!(newest, [998, 999]);
    }

    proptest! {
        #[test]
        fn arbitrary_records_never_panic(
            kind in prop::sample::select(vec![SYSCALL, PATH, CWD, EXECVE, END]),
            fields in "[a-z0-9=\\[\\]_\" ()]{0,200}",
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut assembly = Assembly::default();
            prop_assert_eq!(assembly.take(kind, &bytes), None);
            take(&mut assembly, 1, SYSCALL, CALL);
            take(&mut assembly, 1, kind, &fields);
            let exec = take(&mut assembly, 1, END, "");
            let args = exec.and_then(|exec| exec.args).unwrap_or_default();
            prop_assert!(args.len() <= ARGS_BYTES_MAX);
        }

        #[test]
        fn arguments_come_out_as_they_were_encoded(
            args in proptest::collection::vec(proptest::collection::vec(1u8.., 1..40), 1..8),
        ) {
            use std::fmt::Write;
            let mut record = format!("argc={}", args.len());
            let mut expected = Vec::new();
            for (number, arg) in args.iter().enumerate() {
                let is_plain = arg.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'"');
                write!(record, " a{number}=").unwrap();
                if is_plain {
                    write!(record, "\"{}\"", String::from_utf8_lossy(arg)).unwrap();
                } else {
                    arg.iter().for_each(|byte| write!(record, "{byte:02X}").unwrap());
                }
                expected.extend_from_slice(arg);
                expected.push(0);
            }
            let exec = event(CALL, &[&record]).unwrap();
            let args = exec.args.unwrap();
            prop_assert_eq!(args.as_bytes(), &expected);
        }
    }
}
