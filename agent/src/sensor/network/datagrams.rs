//! Hangs the programs that see datagrams on a control group, and reads what they count.

use crate::platform::linux::bpf::sys::{Attached, CgroupHook, Map, MapKind, SysError};
use crate::platform::linux::cgroup_scope::{self, Scope};

use super::flows::{Count, FLOWS_MAX, KeyBytes};
use super::programs::{self, KEY_BYTES, Maps, Offsets, VALUE_BYTES, Wanted};

/// The programs that see datagrams, and what of the machine they do not see; or why there are none.
pub(super) fn attach(
    offsets: &Offsets,
    maps: Maps,
    wanted: Wanted,
    is_initial: Option<bool>,
    lab: bool,
) -> Result<(Vec<Attached>, Option<String>), String> {
    let group = cgroup_scope::group(is_initial, lab).map_err(|error| error.to_string())?;
    let hooks = [
        ("cordon_connect4", CgroupHook::Connect4, false),
        ("cordon_connect6", CgroupHook::Connect6, true),
        ("cordon_send4", CgroupHook::Send4, false),
        ("cordon_send6", CgroupHook::Send6, true),
    ];
    let mut programs = Vec::new();
    for (name, hook, six) in hooks {
        let code = programs::udp(offsets, maps, wanted, six).map_err(|error| error.to_string())?;
        let attached = Attached::cgroup(name, hook, &code, std::os::fd::AsFd::as_fd(&group.folder));
        programs.push(attached.map_err(|error| error.to_string())?);
    }
    let part = (group.scope == Scope::Own).then(|| {
        format!(
            "datagrams are seen of processes in the control group {} only",
            group.path.display()
        )
    });
    Ok((programs, part))
}

pub(super) fn counts() -> Result<Map, SysError> {
    let bytes = |bytes: i16| u32::from(bytes.unsigned_abs());
    let entries = u32::try_from(FLOWS_MAX).unwrap_or(u32::MAX);
    let (key, value) = (bytes(KEY_BYTES), bytes(VALUE_BYTES));
    Map::keyed(MapKind::LatestHash, "cordon_flows", key, value, entries)
}

pub(super) fn count(counts: &Map, key: &KeyBytes) -> Result<Option<Count>, SysError> {
    let value = counts.look_up::<{ VALUE_BYTES as usize }>(key)?;
    Ok(value.map(|[a, b, c, d, e, f, g, h, last @ ..]| Count {
        sends: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        last_ns: u64::from_ne_bytes(last),
    }))
}
