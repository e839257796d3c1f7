//! What has become of a watched file, and how grave that is. Pure.

use cordon_proto::Text;
use cordon_proto::event::Severity;
use cordon_proto::event::file::{FileActivity, FileEvent, FileKind, FileMeans, FileState};

use super::coalesce::Pending;

/// Files and directories by which somebody stays on a machine, or becomes another user.
const GRAVE: [&[u8]; 22] = [
    b"/etc/passwd",
    b"/etc/shadow",
    b"/etc/gshadow",
    b"/etc/group",
    b"/etc/sudoers",
    b"/etc/sudoers.d/",
    b"/etc/ssh/",
    b"/etc/pam.d/",
    b"/etc/ld.so.preload",
    b"/etc/ld.so.conf.d/",
    b"/etc/cron",
    b"/etc/systemd/system/",
    b"/etc/init.d/",
    b"/etc/rc.local",
    b"/etc/profile",
    b"/etc/bash.bashrc",
    b"/etc/apt/",
    b"/var/spool/cron/",
    b"/usr/lib/systemd/",
    b"/usr/bin/",
    b"/usr/sbin/",
    b"/boot/",
];

/// Set-user-id and set-group-id.
const SET_ID: u32 = 0o6000;

/// What happened, from what was gathered and what was and is found; none where nothing did, or
/// where a file came and went within the second.
pub(super) fn event(
    means: FileMeans,
    pending: &Pending,
    before: Option<FileState>,
    after: Option<FileState>,
) -> Option<FileEvent> {
    let moved = pending.from.is_some() && after.is_some();
    let activity = match (&before, &after) {
        (None, None) => {
            let Pending { acts, .. } = pending;
            (acts.deleted && !acts.created).then_some(FileActivity::Deleted)?
        }
        (Some(_), None) => FileActivity::Deleted,
        (None, Some(_)) if moved => FileActivity::Renamed,
        (None, Some(_)) if pending.acts.created => FileActivity::Created,
        (None, Some(_)) if pending.acts.written => FileActivity::Modified,
        (None, Some(_)) => FileActivity::AttributesChanged,
        (Some(before), Some(after)) => difference(before, after)?,
    };
    let who = pending.who.as_ref();
    Some(FileEvent {
        means,
        activity,
        path: Text::from(pending.path.as_slice()),
        path_before: pending.from.as_deref().filter(|_| moved).map(Text::from),
        actor: who.map(|who| who.actor.clone()),
        before,
        after,
        times: pending.times,
        by_package_manager: who.is_some_and(|who| who.by_package_manager),
    })
}

/// None where nothing differs that anybody would care about: times alone say nothing.
fn difference(before: &FileState, after: &FileState) -> Option<FileActivity> {
    let hashes = before.sha256.zip(after.sha256);
    let content = match hashes {
        Some((before, after)) => before != after,
        None => {
            let of = |state: &FileState| (state.bytes, state.modified_ns);
            before.kind == FileKind::Regular && of(before) != of(after)
        }
    };
    if before.kind != after.kind || content {
        return Some(FileActivity::Modified);
    }
    let of = |state: &FileState| (state.mode, state.uid, state.gid, state.capabilities);
    (of(before) != of(after)).then_some(FileActivity::AttributesChanged)
}

/// How grave a change is.
pub(super) fn severity(event: &FileEvent) -> Severity {
    let path = event.path.as_bytes();
    if event.by_package_manager {
        return Severity::Informational;
    }
    if gains_rights(event) {
        return Severity::High;
    }
    let is_key = path.windows(6).any(|part| part == b"/.ssh/");
    if is_key || GRAVE.iter().any(|grave| path.starts_with(grave)) {
        Severity::Medium
    } else {
        Severity::Low
    }
}

/// Whether a file gives other rights to whoever runs it than it did before.
fn gains_rights(event: &FileEvent) -> bool {
    let Some(after) = event.after.as_ref().filter(|after| after.kind == FileKind::Regular) else {
        return false;
    };
    // What was there before and nobody knew of is no gain.
    let Some(before) = &event.before else {
        let is_new = event.activity == FileActivity::Created;
        return is_new && (after.mode & SET_ID != 0 || after.capabilities.is_some());
    };
    let gains_set_id = after.mode & SET_ID & !before.mode != 0;
    gains_set_id || after.capabilities.is_some() && after.capabilities != before.capabilities
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::Actor;
    use cordon_proto::id::Hash;

    use super::*;
    use crate::clock::Stamp;
    use crate::sensor::file::change::Acts;
    use crate::sensor::file::who::Who;

    /// `CONTENT MODE` of a file; `-` for none.
    fn state(text: &str) -> Option<FileState> {
        let (content, mode) = text.split_once(' ')?;
        Some(FileState {
            kind: FileKind::Regular,
            bytes: 1,
            mode: u32::from_str_radix(mode, 8).unwrap(),
            uid: 0,
            gid: 0,
            modified_ns: 0,
            sha256: Some(Hash::of(content.as_bytes())),
            capabilities: None,
        })
    }

    #[track_caller]
    fn check(
        path: &str,
        (acts, from): (Acts, Option<&str>),
        before: &str,
        after: &str,
        expected: Option<(FileActivity, Severity)>,
    ) {
        for (by_package_manager, expected) in
            [(false, expected), (true, expected.map(|(a, _)| (a, Severity::Informational)))]
        {
            let pending = Pending {
                path: path.as_bytes().to_vec(),
                from: from.map(|from| from.as_bytes().to_vec()),
                acts,
                is_directory: false,
                who: Some(Who { actor: Actor::default(), by_package_manager }),
                times: 1,
                first: Stamp::default(),
            };
            let event = event(FileMeans::Fanotify, &pending, state(before), state(after));
            assert_eq!(event.map(|event| (event.activity, severity(&event))), expected, "{path}");
        }
    }

    const WRITTEN: (Acts, Option<&str>) = (Acts::WRITTEN, None);

    #[test]
    fn content_counts_before_attributes_and_times_do_not_count() {
        let low = |activity| Some((activity, Severity::Low));
        check("/etc/x", WRITTEN, "a 644", "b 644", low(FileActivity::Modified));
        check("/etc/x", WRITTEN, "a 644", "b 600", low(FileActivity::Modified));
        check("/etc/x", WRITTEN, "a 644", "a 600", low(FileActivity::AttributesChanged));
        check("/etc/x", WRITTEN, "a 644", "a 644", None);
        check("/etc/x", WRITTEN, "-", "a 644", low(FileActivity::Modified));
        check(
            "/etc/x",
            (Acts::ATTRIBUTES, None),
            "-",
            "a 644",
            low(FileActivity::AttributesChanged),
        );
    }

    #[test]
    fn files_come_and_go() {
        let low = |activity| Some((activity, Severity::Low));
        check("/etc/x", (Acts::CREATED, None), "-", "a 644", low(FileActivity::Created));
        check("/etc/x", (Acts::DELETED, None), "a 644", "-", low(FileActivity::Deleted));
        check("/etc/x", (Acts::DELETED, None), "-", "-", low(FileActivity::Deleted));
        check("/etc/x", (Acts::CREATED.and(Acts::DELETED), None), "-", "-", None);
        let renamed = (Acts::NONE, Some("/tmp/x"));
        check("/etc/x", renamed, "-", "a 644", low(FileActivity::Renamed));
        check("/etc/x", renamed, "b 644", "a 644", low(FileActivity::Modified));
    }

    #[test]
    fn keys_accounts_and_programs_are_graver_and_new_rights_are_gravest() {
        let modified = |severity| Some((FileActivity::Modified, severity));
        check("/etc/shadow", WRITTEN, "a 640", "b 640", modified(Severity::Medium));
        check(
            "/home/a/.ssh/authorized_keys",
            WRITTEN,
            "a 600",
            "b 600",
            modified(Severity::Medium),
        );
        check("/usr/bin/ls", WRITTEN, "a 755", "b 755", modified(Severity::Medium));
        let rights = Some((FileActivity::AttributesChanged, Severity::High));
        check("/usr/local/bin/x", WRITTEN, "a 755", "a 4755", rights);
        check(
            "/etc/x",
            (Acts::CREATED, None),
            "-",
            "a 4755",
            Some((FileActivity::Created, Severity::High)),
        );
        check("/usr/bin/su", WRITTEN, "a 4755", "b 4755", modified(Severity::Medium));
    }
}
