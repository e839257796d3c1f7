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
    },
    Package {
        name: "cordon",
        program: "cordon",
        says: "endpoint monitoring and containment: the terminal program",
        files: &[],
        settings: &[],
        scripts: &[],
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

    #[test]
    fn every_file_of_every_package_is_there_and_goes_to_its_place() {
        let folder = std::env::temp_dir().join(format!("cordon-deb-{}", std::process::id()));
        let programs = folder.join("programs");
        fs::create_dir_all(&programs).unwrap();
        let linux = Path::new(env!("CARGO_MANIFEST_DIR")).join("linux");
        for package in &PACKAGES {
            fs::write(programs.join(package.program), "program").unwrap();
            let sources = Sources { programs: &programs, linux: &linux, time_secs: 0 };
            let tree = folder.join(package.name);
            lay_out(package, sources, &tree).unwrap();
            let control = fs::read_to_string(tree.join("DEBIAN/control")).unwrap();
            assert!(control.starts_with(&format!("Package: {}\nVersion: ", package.name)));
            for setting in package.settings {
                assert!(tree.join(setting.trim_start_matches('/')).is_file());
            }
        }
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
