//! On what kind of machine this is: container, virtual machine or neither, from files that say so.

use crate::inventory::tree::Tree;

/// What makers of virtual machines write into their firmware, and how they are called.
const MAKERS: [(&str, &str); 10] = [
    ("QEMU", "kvm"),
    ("KVM", "kvm"),
    ("Amazon EC2", "amazon"),
    ("Google", "google"),
    ("VMware", "vmware"),
    ("innotek GmbH", "virtualbox"),
    ("VirtualBox", "virtualbox"),
    ("Xen", "xen"),
    ("Microsoft Corporation", "hyperv"),
    ("Parallels", "parallels"),
];

/// A word for it; `none` where nothing says otherwise.
pub(super) fn detect(tree: &Tree<'_>) -> String {
    if let Some(container) = tree.line("/run/systemd/container") {
        return container.to_lossy().into_owned();
    }
    if tree.metadata("/.dockerenv").is_some() {
        return "docker".to_owned();
    }
    if tree.metadata("/run/.containerenv").is_some() {
        return "podman".to_owned();
    }
    for name in ["sys_vendor", "product_name", "bios_vendor"] {
        let Some(said) = tree.line(format!("/sys/class/dmi/id/{name}")) else { continue };
        let said = said.to_lossy();
        let is_real =
            name == "sys_vendor" && said.starts_with("Microsoft") && !has_hypervisor(tree);
        let maker = MAKERS.iter().find(|(begin, _)| said.starts_with(begin));
        if let Some((_, kind)) = maker.filter(|_maker| !is_real) {
            return (*kind).to_owned();
        }
    }
    if tree.metadata("/proc/xen").is_some() {
        return "xen".to_owned();
    }
    if has_hypervisor(tree) { "virtual machine".to_owned() } else { "none".to_owned() }
}

/// Whether the processor says that it is a virtual one.
fn has_hypervisor(tree: &Tree<'_>) -> bool {
    let text = tree.read("/proc/cpuinfo").unwrap_or_default();
    let mut lines = text.split(|byte| *byte == b'\n');
    let flags = lines.find(|line| line.starts_with(b"flags")).unwrap_or_default();
    flags.split(|byte| *byte == b' ').any(|flag| flag == b"hypervisor")
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], kind: &str) {
        assert_eq!(detect(&Tree::new(testing::tree(files).path())), kind);
    }

    #[test]
    fn containers_virtual_machines_and_real_ones_are_told_apart() {
        const VIRTUAL: &str = "flags\t\t: fpu hypervisor lm\n";
        let vendor = "sys/class/dmi/id/sys_vendor";
        check(&[], "none");
        check(&[(".dockerenv", ""), (vendor, "QEMU\n")], "docker");
        check(&[("run/systemd/container", "lxc\n")], "lxc");
        check(&[(vendor, "VMware, Inc.\n")], "vmware");
        check(&[(vendor, "Microsoft Corporation\n"), ("proc/cpuinfo", VIRTUAL)], "hyperv");
        check(&[(vendor, "Microsoft Corporation\n")], "none");
        check(&[(vendor, "Dell Inc.\n"), ("proc/cpuinfo", VIRTUAL)], "virtual machine");
        check(&[(vendor, "Dell Inc.\n"), ("proc/cpuinfo", "flags\t: fpu lm\n")], "none");
    }
}
