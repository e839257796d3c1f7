//! Names of terminals by their device numbers, as ps(1) shows them. Pure.

use cordon_proto::Text;

/// Pseudo-terminals have eight major numbers of 256 minor ones each.
const PSEUDO: std::ops::RangeInclusive<u32> = 136..=143;

/// The name; empty for major number 0, which stands for none. A device without a well-known name
/// is its two numbers.
pub(super) fn terminal(major: u32, minor: u32) -> Text {
    match (major, minor) {
        (0, _) => Text::default(),
        (4, 0..64) => Text::from(format!("tty{minor}")),
        (4, 64..) => Text::from(format!("ttyS{}", minor - 64)),
        (5, 1) => Text::from("console"),
        (229, _) => Text::from(format!("hvc{minor}")),
        (204, 64..) => Text::from(format!("ttyAMA{}", minor - 64)),
        // Drivers count on in one range; /proc splits it into majors of 256.
        (major, minor) if PSEUDO.contains(&major) => {
            Text::from(format!("pts/{}", (major - PSEUDO.start()) * 256 + minor))
        }
        (major, minor) => Text::from(format!("{major}:{minor}")),
    }
}

/// The same for the number in /proc, which packs both.
pub(super) fn terminal_of(device: u32) -> Text {
    terminal(device >> 8 & 0xfff, device >> 12 & 0xfff00 | device & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(major: u32, minor: u32, expected: &str) {
        assert_eq!(terminal(major, minor), Text::from(expected));
        let device = major << 8 | minor & 0xff | (minor & 0xfff00) << 12;
        assert_eq!(terminal_of(device), Text::from(expected));
    }

    #[test]
    fn terminals_have_the_names_that_people_know() {
        check(0, 0, "");
        check(4, 1, "tty1");
        check(4, 64, "ttyS0");
        check(5, 1, "console");
        check(136, 0, "pts/0");
        check(136, 1000, "pts/1000");
        check(137, 2, "pts/258");
        check(229, 0, "hvc0");
        check(188, 3, "188:3");
    }

    #[test]
    fn no_number_is_too_large() {
        assert!(!terminal(u32::MAX, u32::MAX).is_empty());
        assert!(!terminal(4, u32::MAX).is_empty());
    }
}
