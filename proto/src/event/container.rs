//! Which container a control group belongs to, read from its path. Pure.
//!
//! Container engines name the groups that they make; nothing else in the kernel knows of
//! containers. A path of no known form says nothing, which is not the same as "no container".

/// A container, as far as the path of its control group tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Container<'a> {
    /// Its id, or its name where the engine has nothing else.
    pub id: &'a str,
    /// Who made it, by the form of the path; empty where several use the same.
    pub runtime: &'static str,
}

/// Digits of the ids that docker, containerd, CRI-O and podman give.
const ID_DIGITS: usize = 64;

/// What stands before the id, and who writes it so.
const PREFIXES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
    ("lxc.payload.", "lxc"),
];

/// Folders in which the id stands alone, and whose they are.
const FOLDERS: [(&str, &str); 2] = [("docker", "docker"), ("lxc", "lxc")];

/// The innermost container of a control group.
#[must_use]
pub fn container(cgroup: &[u8]) -> Option<Container<'_>> {
    let path = std::str::from_utf8(cgroup).ok()?;
    let mut found = None;
    let mut folder = "";
    let mut is_kubernetes = false;
    for part in path.split('/') {
        found = named(part, folder, is_kubernetes).or(found);
        is_kubernetes |= part.starts_with("kubepods");
        folder = part;
    }
    found
}

fn named<'a>(part: &'a str, folder: &str, is_kubernetes: bool) -> Option<Container<'a>> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    // systemd: `cri-containerd:k8s…` beside containerd's own service.
    let name = name.rsplit(':').next().unwrap_or(name);
    for (prefix, runtime) in PREFIXES {
        let Some(id) = name.strip_prefix(prefix) else { continue };
        // `libpod-conmon-ID` watches over a container and is not in it: no id stands there.
        if runtime == "lxc" && !id.is_empty() || is_id(id) {
            return Some(Container { id, runtime });
        }
    }
    let (_, runtime) = FOLDERS.into_iter().find(|(name, _)| *name == folder).unwrap_or_default();
    if runtime == "lxc" && !name.is_empty() {
        return Some(Container { id: name, runtime });
    }
    let is_alone = is_id(name) && (!runtime.is_empty() || is_kubernetes);
    is_alone.then_some(Container { id: name, runtime })
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "4f2a9c0d11e8b7a6954f2a9c0d11e8b7a6954f2a9c0d11e8b7a6954f2a9c0d11";

    /// `ID` stands for an id of 64 digits.
    #[track_caller]
    fn check(path: &str, expected: Option<(&str, &'static str)>) {
        let path = path.replace("ID", ID);
        let expected = expected.map(|(id, runtime)| (id.replace("ID", ID), runtime));
        let found = container(path.as_bytes()).map(|one| (one.id.to_owned(), one.runtime));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn every_engines_form_is_known() {
        check("/system.slice/docker-ID.scope", Some(("ID", "docker")));
        check("/docker/ID", Some(("ID", "docker")));
        check("/docker/ID/init.scope", Some(("ID", "docker")));
        check("/machine.slice/libpod-ID.scope/container", Some(("ID", "podman")));
        check("/user.slice/user-1000.slice/libpod-ID.scope", Some(("ID", "podman")));
        check("/lxc.payload.web/system.slice/ssh.service", Some(("web", "lxc")));
        check("/lxc/101/ns/system.slice", Some(("101", "lxc")));
    }

    #[test]
    fn kubernetes_names_its_containers_by_their_engine_or_not_at_all() {
        let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice";
        check(&format!("{pod}/cri-containerd-ID.scope"), Some(("ID", "containerd")));
        check(&format!("{pod}/crio-ID.scope"), Some(("ID", "cri-o")));
        check(&format!("{pod}/docker-ID.scope"), Some(("ID", "docker")));
        check("/kubepods/besteffort/pod1-2/ID", Some(("ID", "")));
        check("/kubepods/besteffort/pod1-2", None);
    }

    #[test]
    fn the_innermost_container_counts() {
        let other = "0".repeat(64);
        let nested = format!("/docker/ID/docker/{other}");
        check(&nested, Some((&other, "docker")));
    }

    #[test]
    fn what_is_no_container_is_none() {
        check("/", None);
        check("", None);
        check("/system.slice/docker.service", None);
        check("/system.slice/containerd.service", None);
        check("/machine.slice/libpod-conmon-ID.scope", None);
        check("/ID", None);
        check("/docker/short", None);
        check("/lxc/", None);
        assert_eq!(container(b"/docker/\xff"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_paths_never_panic(path in proptest::collection::vec(any::<u8>(), 0..200)) {
            let found = container(&path);
            prop_assert!(found.is_none_or(|one| !one.id.is_empty()));
        }
    }
}
