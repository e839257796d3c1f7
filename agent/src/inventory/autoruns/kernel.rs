//! What runs in the kernel or by it: modules that are loaded or told to be, programs of udev's
//! rules, and the libraries that are put into every program.

use std::path::Path;

use cordon_proto::Text;

use super::{Autorun, Tree, file, text};
use crate::inventory::{joined, lines};

const MODULE_LISTS: [&str; 4] = [
    "/etc/modules-load.d",
    "/usr/lib/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/run/modules-load.d",
];
const MODULE_SETTINGS: [&str; 3] =
    ["/etc/modprobe.d", "/usr/local/lib/modprobe.d", "/run/modprobe.d"];
const UDEV_RULES: [&str; 4] = [
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
];

pub(super) fn collect(tree: &Tree<'_>, all: &mut Vec<Autorun>) {
    let preload = Path::new("/etc/ld.so.preload");
    if let Some(libraries) = tree.read(preload) {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b':';
        let libraries = libraries.split(is_between).filter(|library| !library.is_empty());
        all.extend(libraries.map(|library| entry("ld_preload", preload, library.into())));
    }
    let modules = tree.read("/proc/modules").unwrap_or_default();
    for line in lines(&modules) {
        let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        all.push(entry("module_loaded", Path::new("/proc/modules"), name.into()));
    }
    let lists = MODULE_LISTS.iter().flat_map(|directory| tree.files(directory));
    for path in lists.chain([Path::new("/etc/modules").to_owned()]) {
        let names = tree.read(&path).unwrap_or_default();
        all.extend(lines(&names).map(|name| entry("module", &path, name.into())));
    }
    for path in MODULE_SETTINGS.iter().flat_map(|directory| tree.files(directory)) {
        let settings = tree.read(&path).unwrap_or_default();
        // Only these run a program.
        let runs = |line: &&[u8]| line.starts_with(b"install ") || line.starts_with(b"remove ");
        all.extend(lines(&settings).filter(runs).map(|line| entry("modprobe", &path, line.into())));
    }
    for path in UDEV_RULES.iter().flat_map(|directory| tree.files(directory)) {
        let rules = tree.read(&path).unwrap_or_default();
        all.extend(programs(&rules).into_iter().map(|program| entry("udev", &path, program)));
    }
    for path in ["/etc/rc.local", "/etc/rc.d/rc.local"] {
        all.extend(file(tree, "rc_local", Path::new(path)));
    }
    for directory in ["/etc/init.d", "/etc/local.d"] {
        let files = tree.files(directory);
        all.extend(files.iter().filter_map(|path| file(tree, "init", path)));
    }
}

fn entry(kind: &'static str, path: &Path, command: Text) -> Autorun {
    Autorun { kind, path: text(path), entry: command.clone(), command, ..Autorun::default() }
}

/// What the rules of one file run: the values of `RUN`, `RUN{program}`, `PROGRAM` and
/// `IMPORT{program}`.
fn programs(rules: &[u8]) -> Vec<Text> {
    const KEYS: [&[u8]; 4] = [b"RUN", b"RUN{program}", b"PROGRAM", b"IMPORT{program}"];
    let mut programs = Vec::new();
    // A backslash at the end continues a line.
    let whole = joined(
        &rules.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect::<Vec<_>>(),
        b"\n",
    );
    let mut rest = whole.as_bytes();
    let mut unbroken: Vec<u8> = Vec::with_capacity(rest.len());
    while let Some((byte, behind)) = rest.split_first() {
        match (byte, behind.strip_prefix(b"\n")) {
            (b'\\', Some(next)) => rest = next,
            (byte, _) => {
                unbroken.push(*byte);
                rest = behind;
            }
        }
    }
    for line in lines(&unbroken) {
        let mut rest = line;
        while let Some(at) = rest.iter().position(|byte| *byte == b'"') {
            let (key, behind) = rest.split_at(at);
            let behind = behind.get(1..).unwrap_or_default();
            let end = behind.iter().position(|byte| *byte == b'"').unwrap_or(behind.len());
            let (value, behind) = behind.split_at(end);
            let key = key.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
            let key = key.trim_ascii_end();
            let name_end = key.iter().position(|byte| b"+=:!- ".contains(byte));
            let name = key.get(..name_end.unwrap_or(key.len())).unwrap_or_default();
            if KEYS.contains(&name) && !value.is_empty() {
                programs.push(value.into());
            }
            rest = behind.get(1..).unwrap_or_default();
        }
    }
    programs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::check;
    use super::*;

    #[test]
    fn what_runs_in_the_kernel_or_by_it_is_told() {
        check(
            &[
                ("etc/ld.so.preload", "/lib/a.so:/lib/b.so\n"),
                ("proc/modules", "nf_tables 360448 3 nft_chain,x, Live 0x0000000000000000\n"),
                ("etc/modules-load.d/m.conf", "# x\nvhost\n"),
                ("etc/modprobe.d/m.conf", "blacklist x\ninstall usb /bin/evil\n"),
                ("etc/rc.local", "abc"),
                ("etc/init.d/s", "abc"),
            ],
            &[
                "init /etc/init.d/s: kind=init path=/etc/init.d/s #ba78",
                "ld_preload /etc/ld.so.preload /lib/a.so: kind=ld_preload \
                 path=/etc/ld.so.preload command=/lib/a.so",
                "ld_preload /etc/ld.so.preload /lib/b.so: kind=ld_preload \
                 path=/etc/ld.so.preload command=/lib/b.so",
                "modprobe /etc/modprobe.d/m.conf install usb /bin/evil: kind=modprobe \
                 path=/etc/modprobe.d/m.conf command=install usb /bin/evil",
                "module /etc/modules-load.d/m.conf vhost: kind=module \
                 path=/etc/modules-load.d/m.conf command=vhost",
                "module_loaded /proc/modules nf_tables: kind=module_loaded path=/proc/modules \
                 command=nf_tables",
                "rc_local /etc/rc.local: kind=rc_local path=/etc/rc.local #ba78",
            ],
        );
    }

    #[test]
    fn the_programs_of_udevs_rules_are_found_however_a_rule_is_written() {
        let rules = b"# RUN+=\"no\"\nACTION==\"add\", SUBSYSTEM==\"usb\", RUN+=\"/bin/a b\"\n\
            KERNEL==\"sd*\", \\\n  RUN{program} += \"/bin/c\", PROGRAM==\"/bin/d %k\", ENV{RUN}=\"x\"\n\
            IMPORT{program}=\"e\", IMPORT{builtin}=\"f\", RUN=\"\"\n";
        let found: Vec<_> = programs(rules).iter().map(|one| one.to_lossy().into_owned()).collect();
        assert_eq!(found, ["/bin/a b", "/bin/c", "/bin/d %k", "e"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(rules: Vec<u8>) {
            programs(&rules);
        }
    }
}
