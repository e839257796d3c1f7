//! Reads `/proc/self/mountinfo`.
//!
//! Pure. A line that is not as the kernel writes it is passed over and counted, never guessed.

use cordon_proto::Text;
use cordon_proto::event::disk::Mount;

/// Mounts that are looked at; a machine with more has them from a container runtime.
pub(super) const MOUNTS_MAX: usize = 1024;

/// One line: a mount, and what it is a mount of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// The mount's number in its namespace; used again after an unmount.
    pub(super) number: u64,
    /// The device's two numbers; the same for each mount of one file system.
    pub(crate) device: (u32, u32),
    pub(crate) mount: Mount,
    /// What of the file system is mounted: its root, or a folder in it.
    pub(crate) root: Text,
    /// How this mount is mounted, and how its file system is.
    pub(crate) options: Text,
    pub(crate) fs_options: Text,
}

/// What a table says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Table {
    pub(crate) lines: Vec<Line>,
    /// Lines that could not be read, and mounts beyond [`MOUNTS_MAX`].
    pub(super) left_out: usize,
}

/// Reads the table; `is_watched` says by its type whether a file system is of interest.
pub(crate) fn parse(text: &[u8], is_watched: impl Fn(&[u8]) -> bool) -> Table {
    let mut table = Table::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match parse_line(line) {
            Some(line) if !is_watched(line.mount.fs_type.as_bytes()) => {}
            Some(line) if table.lines.len() < MOUNTS_MAX => table.lines.push(line),
            Some(_) | None => table.left_out += 1,
        }
    }
    table
}

/// `36 35 98:0 /root /mnt rw,noatime shared:1 - ext3 /dev/root rw,errors=continue`: the fields
/// before the lonely dash vary in number.
fn parse_line(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = number(fields.next()?)?;
    let _parent = fields.next()?;
    let device = fields.next()?;
    let colon = device.iter().position(|byte| *byte == b':')?;
    let device = (number_u32(&device[..colon])?, number_u32(&device[colon + 1..])?);
    let root = unescape(fields.next()?);
    let path = unescape(fields.next()?);
    let options = fields.next()?;
    fields.by_ref().find(|field| *field == b"-")?;
    let fs_type = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    let super_options = fields.next()?;
    let read_only = is_read_only(options) || is_read_only(super_options);
    let mount = Mount { path, source, fs_type, read_only };
    let (options, fs_options) = (unescape(options), unescape(super_options));
    Some(Line { number, device, mount, root, options, fs_options })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn number_u32(field: &[u8]) -> Option<u32> {
    u32::try_from(number(field)?).ok()
}

fn is_read_only(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == b"ro")
}

/// The kernel writes space, tab, line feed, backslash and `#` as a backslash and three octal
/// digits. A backslash before anything else stands for itself.
fn unescape(field: &[u8]) -> Text {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let escaped = others.first_chunk().filter(|_digits| *first == b'\\').and_then(octal);
        match escaped {
            Some(byte) => {
                text.push(byte);
                rest = &others[3..];
            }
            None => {
                text.push(*first);
                rest = others;
            }
        }
    }
    Text::from(text)
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    let mut value: u16 = 0;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value = value * 8 + u16::from(digit);
    }
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The one line, as `number device path source type ro|rw`; an empty text for none.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let table = parse(line.as_bytes(), |_any| true);
        let show = |line: &Line| {
            let Line { number, device: (major, minor), mount, .. } = line;
            let Mount { path, source, fs_type, read_only } = mount;
            let access = if *read_only { "ro" } else { "rw" };
            format!("{number} {major}:{minor} {path:?} {source:?} {fs_type:?} {access}")
        };
        let shown: String = table.lines.iter().map(show).collect();
        assert_eq!(shown.replace('"', ""), expected);
        assert_eq!(table.left_out, usize::from(expected.is_empty()));
    }

    #[test]
    fn the_fields_before_the_dash_vary_in_number() {
        check("36 35 98:0 /m1 /m2 rw,noatime - ext3 /dev/r rw", "36 98:0 /m2 /dev/r ext3 rw");
        check(
            "36 35 98:0 / /a rw shared:1 master:2 unbindable - ext3 /dev/r rw,errors=continue",
            "36 98:0 /a /dev/r ext3 rw",
        );
    }

    #[test]
    fn a_file_system_is_read_only_by_either_of_its_options() {
        check("1 0 8:1 / / ro,noatime - ext4 /dev/a rw", "1 8:1 / /dev/a ext4 ro");
        check("1 0 8:1 / / rw - ext4 /dev/a ro,quota", "1 8:1 / /dev/a ext4 ro");
        check("1 0 8:1 / / rw,errors=remount-ro - ext4 /dev/a rw", "1 8:1 / /dev/a ext4 rw");
    }

    #[test]
    fn what_the_kernel_escapes_is_read_as_it_is() {
        check(
            r"1 0 8:1 / /a\040b\134c rw - fuse.x user@host:/d\011e rw",
            r"1 8:1 /a b\\c user@host:/d\te fuse.x rw",
        );
        check(r"1 0 8:1 / /a\4\999\777\ rw - t s rw", r"1 8:1 /a\\4\\999\\777\\ s t rw");
        check("1 0 0:5 / /a rw - tmpfs  rw", "1 0:5 /a  tmpfs rw");
    }

    #[test]
    fn what_is_no_line_of_the_table_is_counted() {
        for line in
            ["x", "1 0 8:1 / /a rw ext4 /dev/a rw", "1 0 81 / /a rw - ext4 /dev/a rw", "1 -"]
        {
            check(line, "");
        }
    }

    #[test]
    fn the_table_of_this_machine_can_be_read_whole() {
        let text = std::fs::read("/proc/self/mountinfo").unwrap();
        let table = parse(&text, |_any| true);
        assert_eq!(table.left_out, 0);
        assert_eq!(table.lines.len(), text.iter().filter(|byte| **byte == b'\n').count());
        assert!(table.lines.iter().any(|line| line.mount.path.as_bytes() == b"/"));
    }

    fn escape(path: &[u8]) -> Vec<u8> {
        let escaped = |byte: &u8| match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
            other => vec![*other],
        };
        path.iter().flat_map(escaped).collect()
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(text: Vec<u8>) {
            let table = parse(&text, |_any| true);
            prop_assert!(table.lines.len() + table.left_out <= text.len());
        }

        #[test]
        fn every_path_is_read_as_it_is(path: Vec<u8>) {
            let line = [b"1 0 8:1 / ", &escape(&path)[..], b" rw - ext4 s rw"].concat();
            let table = parse(&line, |_any| true);
            prop_assert_eq!(table.lines[0].mount.path.as_bytes(), &path[..]);
        }
    }
}
