//! Debian packages of the programs: files, units, what is done when they come and go. Made with
//! dpkg-deb where it is; the same files make the same bytes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run_command::ask;

/// What one package is made of.
struct Package {
    name: &'static str,
    /// The program, which goes to /usr/bin.
    program: &'static str,
    says: &'static str,
    /// Files of packaging/linux, and where each goes.
    files: &'static [(&'static str, &'static str)],
    /// Settings that an administrator's changes survive in.
    settings: &'static [&'static str],
    scripts: &'static [&'static str],
    /// Its program writes its own manual and what shells complete by.
    documents: bool,
}

const PACKAGES: [Package; 3] = [
    Package {
        name: "cordon-agent",
        program: "cordon-agent",
        says: "endpoint monitoring and containment: the agent",
        files: &[
            ("agent.toml", "etc/cordon/agent.toml"),
            ("cordon-agent.service", "usr/lib/systemd/system/cordon-agent.service"),
            ("cordon-hold.service", "usr/lib/systemd/system/cordon-hold.service"),
            ("cordon-hold.path", "usr/lib/systemd/system/cordon-hold.path"),
            ("cordon-agent-sleep", "usr/lib/systemd/system-sleep/cordon-agent"),
        ],
        settings: &["/etc/cordon/agent.toml"],
        scripts: &["postinst", "prerm", "postrm"],
        documents: false,
    },
    Package {
        name: "cordon-collector",
        program: "cordon-collector",
        says: "endpoint monitoring and containment: the collector",
        files: &[
            ("collector.toml", "etc/cordon/collector.toml"),
            ("cordon-collector.service", "usr/lib/systemd/system/cordon-collector.service"),
            ("cordon-collector.sysusers", "usr/lib/sysusers.d/cordon-collector.conf"),
        ],
        settings: &["/etc/cordon/collector.toml"],
        scripts: &["postinst", "prerm"],
        documents: false,
    },
    Package {
        name: "cordon",
        program: "cordon",
        says: "endpoint monitoring and containment: the terminal program",
        files: &[],
        settings: &[],
        scripts: &[],
        documents: true,
    },
];

/// Where the programs lie, and the files of packaging.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    pub programs: &'a Path,
    /// `packaging/linux`.
    pub linux: &'a Path,
    /// For the files in the packages, in seconds since 1970.
    pub time_secs: u64,
}

/// The packages that can be made.
pub fn names() -> impl Iterator<Item = &'static str> {
    PACKAGES.iter().map(|package| package.name)
}

/// Makes one of the packages in a folder; the package.
pub fn build(name: &str, sources: Sources<'_>, into: &Path) -> Result<PathBuf> {
    let package = PACKAGES.iter().find(|package| package.name == name);
    let package = package.with_context(|| format!("there is no package {name}"))?;
    let tree = into.join(format!("{name}.tree"));
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("emptying {}", tree.display()))?;
    }
    lay_out(package, sources, &tree)?;
    if package.documents {
        document(&sources.programs.join(package.program), &tree)?;
    }
    settle_modes(&tree)?;
    let file = into.join(format!("{name}_{}_{}.deb", env!("CARGO_PKG_VERSION"), architecture()?));
    let mut command = Command::new("dpkg-deb");
    command.env("SOURCE_DATE_EPOCH", sources.time_secs.to_string());
    command.args(["--root-owner-group", "-Zgzip", "--build"]).arg(&tree).arg(&file);
    ask(&format!("making the package {name}"), &mut command)?;
    fs::remove_dir_all(&tree).with_context(|| format!("removing {}", tree.display()))?;
    Ok(file)
}

fn lay_out(package: &Package, sources: Sources<'_>, tree: &Path) -> Result<()> {
    let program = Path::new("usr/bin").join(package.program);
    copy(&sources.programs.join(package.program), &tree.join(program), 0o755)?;
    for (file, place) in package.files {
        let mode = if place.contains("system-sleep") { 0o755 } else { 0o644 };
        copy(&sources.linux.join(file), &tree.join(place), mode)?;
    }
    for script in package.scripts {
        let from = sources.linux.join(format!("deb/{}.{script}", package.name));
        copy(&from, &tree.join("DEBIAN").join(script), 0o755)?;
    }
    write(&tree.join("DEBIAN/control"), &control(package)?)?;
    if !package.settings.is_empty() {
        write(&tree.join("DEBIAN/conffiles"), &format!("{}\n", package.settings.join("\n")))?;
    }
    Ok(())
}

/// The pages are packed as Debian packs them, without the time.
fn document(program: &Path, tree: &Path) -> Result<()> {
    let pages = tree.join("usr/share/man/man1");
    ask("writing the manual", Command::new(program).args(["man", "--out"]).arg(&pages))?;
    let listing = || format!("listing {}", pages.display());
    for entry in fs::read_dir(&pages).with_context(listing)? {
        let page = entry.with_context(listing)?.path();
        ask("packing a page of the manual", Command::new("gzip").arg("-9n").arg(&page))?;
    }
    let mut command = Command::new(program);
    let script = ask("writing what shells complete by", command.args(["completions", "bash"]))?;
    write(&tree.join("usr/share/bash-completion/completions/cordon"), &script)
}

/// Whatever whoever packs lets others do with his files by default.
fn settle_modes(folder: &Path) -> Result<()> {
    let doing = || format!("setting modes in {}", folder.display());
    fs::set_permissions(folder, Permissions::from_mode(0o755)).with_context(doing)?;
    for entry in fs::read_dir(folder).with_context(doing)? {
        let path = entry.with_context(doing)?.path();
        let metadata = fs::symlink_metadata(&path).with_context(doing)?;
        if metadata.is_dir() {
            settle_modes(&path)?;
        } else {
            let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).with_context(doing)?;
        }
    }
    Ok(())
}

fn control(package: &Package) -> Result<String> {
    Ok(format!(
        "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: Cordon <cordon@localhost>\n\
         Section: admin\nPriority: optional\nDepends: libc6 (>= 2.34), libgcc-s1\n\
         Description: {}\n",
        package.name,
        env!("CARGO_PKG_VERSION"),
        architecture()?,
        package.says
    ))
}

fn architecture() -> Result<&'static str> {
    let found = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        _ => "",
    };
    ensure!(!found.is_empty(), "Debian's name of {} is not known", std::env::consts::ARCH);
    Ok(found)
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let folder = to.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", to.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file below a folder with its mode.
    fn listed(folder: &Path, below: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder.join(below)).unwrap().map(Result::unwrap) {
            let name = Path::new(below).join(entry.file_name()).display().to_string();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                listed(folder, &name, found);
            } else {
                found.push(format!("{:o} {name}", metadata.permissions().mode() & 0o7777));
            }
        }
        found.sort();
    }

    const AGENT: &[&str] = &[
        "644 DEBIAN/conffiles",
        "644 DEBIAN/control",
        "644 etc/cordon/agent.toml",
        "644 usr/lib/systemd/system/cordon-agent.service",
        "644 usr/lib/systemd/system/cordon-hold.path",
        "644 usr/lib/systemd/system/cordon-hold.service",
        "755 DEBIAN/postinst",
        "755 DEBIAN/postrm",
        "755 DEBIAN/prerm",
        "755 usr/bin/cordon-agent",
        "755 usr/lib/systemd/system-sleep/cordon-agent",
    ];
    const COLLECTOR: &[&str] = &[
        "644 DEBIAN/conffiles",
        "644 DEBIAN/control",
        "644 etc/cordon/collector.toml",
        "644 usr/lib/systemd/system/cordon-collector.service",
        "644 usr/lib/sysusers.d/cordon-collector.conf",
        "755 DEBIAN/postinst",
        "755 DEBIAN/prerm",
        "755 usr/bin/cordon-collector",
    ];

    #[test]
    fn a_package_holds_what_it_should_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("cordon-deb-{}", std::process::id()));
        let programs = folder.join("programs");
        fs::create_dir_all(&programs).unwrap();
        let linux = Path::new(env!("CARGO_MANIFEST_DIR")).join("linux");
        let cordon: &[&str] = &["644 DEBIAN/control", "755 usr/bin/cordon"];
        for (package, expected) in PACKAGES.iter().zip([AGENT, COLLECTOR, cordon]) {
            fs::write(programs.join(package.program), "program").unwrap();
            let sources = Sources { programs: &programs, linux: &linux, time_secs: 0 };
            let tree = folder.join(package.name);
            lay_out(package, sources, &tree).unwrap();
            // As somebody leaves it who shows others nothing.
            let private = Permissions::from_mode(0o700);
            fs::set_permissions(tree.join("DEBIAN"), private.clone()).unwrap();
            fs::set_permissions(tree.join("usr/bin"), private).unwrap();
            settle_modes(&tree).unwrap();
            for folder in ["DEBIAN", "usr/bin"] {
                let mode = fs::metadata(tree.join(folder)).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o755);
            }
            let mut found = Vec::new();
            listed(&tree, "", &mut found);
            assert_eq!(found, expected, "{}", package.name);
            let control = fs::read_to_string(tree.join("DEBIAN/control")).unwrap();
            assert!(control.starts_with(&format!("Package: {}\nVersion: ", package.name)));
            for setting in package.settings {
                assert!(tree.join(setting.trim_start_matches('/')).is_file());
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    /// A program that says what it was asked, in place of the one that writes its manual.
    #[test]
    fn the_terminal_programs_package_has_its_manual_and_completions() {
        let folder = std::env::temp_dir().join(format!("cordon-manual-{}", std::process::id()));
        let program = folder.join("cordon");
        write(
            &program,
            "#!/bin/sh\n[ $1 = man ] && mkdir -p $3 && echo page > $3/cordon.1\necho $1\n",
        )
        .unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let tree = folder.join("tree");
        document(&program, &tree).unwrap();
        let mut found = Vec::new();
        listed(&tree, "usr/share", &mut found);
        let names: Vec<_> = found.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        let completions = "usr/share/bash-completion/completions/cordon";
        assert_eq!(names, [completions, "usr/share/man/man1/cordon.1.gz"]);
        assert_eq!(fs::read_to_string(tree.join(completions)).unwrap(), "completions\n");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_unit_is_in_a_package() {
        let linux = Path::new(env!("CARGO_MANIFEST_DIR")).join("linux");
        for entry in fs::read_dir(linux).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let packed = |package: &Package| package.files.iter().any(|(file, _)| *file == name);
            assert!(entry.path().is_dir() || PACKAGES.iter().any(packed), "{name} is in none");
        }
    }
}
