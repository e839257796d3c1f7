//! What runs when somebody logs in: files that shells read, and what desktops start.

use std::path::{Path, PathBuf};

use cordon_proto::Text;

use super::{Autorun, Home, Tree, file};

/// Files that shells and logins read for everybody.
const FOR_ALL: [&str; 9] = [
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/bashrc",
    "/etc/environment",
    "/etc/zshenv",
    "/etc/zsh/zshenv",
    "/etc/zsh/zprofile",
    "/etc/zsh/zshrc",
    "/etc/ssh/sshrc",
];

const DIRECTORIES_FOR_ALL: [&str; 2] = ["/etc/profile.d", "/etc/update-motd.d"];

/// Files that shells and logins read for one.
const FOR_ONE: [&str; 14] = [
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".profile",
    ".zshenv",
    ".zprofile",
    ".zshrc",
    ".zlogin",
    ".config/fish/config.fish",
    ".ssh/rc",
    ".pam_environment",
    ".xprofile",
    ".xsession",
];

pub(super) fn collect(tree: &Tree<'_>, homes: &[Home], all: &mut Vec<Autorun>) {
    let mut files: Vec<PathBuf> = FOR_ALL.iter().map(PathBuf::from).collect();
    files.extend(DIRECTORIES_FOR_ALL.iter().flat_map(|directory| tree.files(directory)));
    all.extend(files.iter().filter_map(|path| file(tree, "profile", path)));
    desktop(tree, Path::new("/etc/xdg/autostart"), &Text::default(), all);
    for home in homes {
        for name in FOR_ONE {
            let found = file(tree, "profile", &home.path.join(name));
            all.extend(found.map(|found| Autorun { user: home.owner.clone(), ..found }));
        }
        desktop(tree, &home.path.join(".config/autostart"), &home.owner, all);
    }
}

fn desktop(tree: &Tree<'_>, directory: &Path, user: &Text, all: &mut Vec<Autorun>) {
    for path in tree.files(directory).into_iter().filter(|path| is_entry(path)) {
        let Some(found) = file(tree, "desktop", &path) else { continue };
        let command = exec(&tree.read(&path).unwrap_or_default());
        all.push(Autorun { user: user.clone(), command, ..found });
    }
}

fn is_entry(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "desktop")
}

/// What a desktop entry starts.
fn exec(entry: &[u8]) -> Text {
    let mut lines = entry.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let command =
        lines.find_map(|line| line.strip_prefix(b"Exec")?.trim_ascii_start().strip_prefix(b"="));
    command.unwrap_or_default().trim_ascii().into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn what_runs_at_a_login_is_told_with_the_user_whose_it_is() {
        check(
            &[
                ("etc/passwd", "root:x:0:0::/root:\nann:x:1000:1000::/home/ann:\n"),
                ("etc/profile", "abc"),
                ("etc/profile.d/x.sh", "abc"),
                ("root/.bashrc", "abc"),
                ("home/ann/.config/autostart/m.desktop", "[Desktop Entry]\nExec = m --x\n"),
                ("home/ann/.config/autostart/notes", "abc"),
                ("home/ann/.profile", ">/etc/profile"),
            ],
            &[
                "desktop /home/ann/.config/autostart/m.desktop: kind=desktop \
                 path=/home/ann/.config/autostart/m.desktop user=ann command=m --x #1fd4",
                "profile /etc/profile.d/x.sh: kind=profile path=/etc/profile.d/x.sh #ba78",
                "profile /etc/profile: kind=profile path=/etc/profile #ba78",
                "profile /home/ann/.profile: kind=profile path=/home/ann/.profile user=ann #ba78",
                "profile /root/.bashrc: kind=profile path=/root/.bashrc user=root #ba78",
            ],
        );
    }
}
