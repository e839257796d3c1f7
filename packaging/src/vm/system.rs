//! A whole Debian with systemd in a machine, and a shell inside it: for what only a real boot, real
//! services and a real reset can show.
//!
//! Its disk is made once from packages and kept in the cache; each machine writes to a copy of its
//! own.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::cpio::Archive;
use super::depot::Depot;
use super::initramfs::{self, MODULES};
use super::machine::{Machine, Plan};
use super::modules::Modules;
use crate::clock::{Stopwatch, wait_until};
use crate::lines::Lines;
use crate::need;
use crate::run_command::{ask, find_program};
use crate::workspace::cache_folder;

/// Makes the disk.
const BUILD: &str = include_str!("system/build.sh");
/// The first process before the disk's own.
const INIT: &str = include_str!("system/init");
/// What the first process runs.
const EARLY: [&str; 4] = ["usr/bin/bash", "usr/bin/mount", "usr/sbin/switch_root", "usr/bin/kmod"];
/// What the disk needs before its own modules can be read.
const EARLY_MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"];

/// What is installed, beside all that these need.
const PACKAGES: &str = "systemd systemd-sysv udev kmod iproute2 dpkg dash diffutils bash coreutils util-linux \
    mount grep sed findutils tar gzip base-files base-passwd login passwd libc-bin nftables procps \
    dbus libpam-systemd openssh-server openssh-client sudo";

/// What it calls here.
const NEEDED: [&str; 5] = ["apt-get", "dpkg-deb", "mke2fs", "chroot", "tar"];

/// A boot takes half a minute where it is emulated on a machine that is idle.
const BOOT_WITHIN: Duration = Duration::from_secs(240);
/// What a script may take.
const SCRIPT_WITHIN: Duration = Duration::from_secs(120);
const MEMORY_MIB: u32 = 640;

/// What is on a disk.
#[derive(Clone, Copy, Debug)]
pub struct Debian {
    /// Its folder in the cache.
    folder: &'static str,
    /// Packages beside those that every one has.
    packages: &'static str,
}

/// No more than it takes to run.
pub const PLAIN: Debian = Debian { folder: "vm/system", packages: "" };

/// With the kernel's own audit daemon and LAUREL behind it, neither of them started.
pub const AUDITED: Debian = Debian { folder: "vm/audited", packages: "auditd laurel" };

/// A disk and what starts from it.
#[derive(Clone, Debug)]
pub struct Image {
    folder: PathBuf,
}

impl Debian {
    /// What was made here before from the same recipe.
    pub fn find(self) -> Result<Image, String> {
        let folder = self.folder().map_err(|error| format!("{error:#}"))?;
        let made = fs::read_to_string(folder.join("recipe")).unwrap_or_default();
        if made == self.recipe() {
            return Ok(Image { folder });
        }
        Err("no disk with a Debian for guests (made as root, from packages)".to_owned())
    }

    /// Makes it, unless it is there. Needs root and Debian's packages; the machine stays as it is.
    pub fn fetch(self, depot: &Depot) -> Result<Image> {
        if let Ok(image) = self.find() {
            return Ok(image);
        }
        let missing: Vec<_> =
            NEEDED.into_iter().filter(|name| find_program(name).is_none()).collect();
        ensure!(missing.is_empty(), "making a disk for guests needs {}", missing.join(", "));
        ensure!(need::is_root(), "making a disk for guests needs root");
        let folder = self.folder()?;
        let part = folder.with_extension(format!("part-{}", std::process::id()));
        let made = self.make(depot, &part).and_then(|()| {
            if folder.exists() {
                fs::remove_dir_all(&folder).context("removing an older disk")?;
            }
            fs::rename(&part, &folder).context("putting the disk in its place")
        });
        if part.exists() {
            fs::remove_dir_all(&part).context("removing what was not finished")?;
        }
        // Another task may have made it meanwhile.
        self.find().map_err(|reason| made.err().unwrap_or_else(|| anyhow::Error::msg(reason)))
    }

    fn folder(self) -> Result<PathBuf> {
        Ok(cache_folder()?.join(self.folder))
    }

    fn packages(self) -> String {
        [PACKAGES, self.packages].join(" ").trim_end().to_owned()
    }

    fn recipe(self) -> String {
        [BUILD, INIT, &self.packages()].join("\n")
    }

    fn make(self, depot: &Depot, part: &Path) -> Result<()> {
        let (packages, script) = (part.join("packages"), part.join("build.sh"));
        fs::create_dir_all(&packages).with_context(|| format!("making {}", packages.display()))?;
        fs::write(&script, BUILD).context("writing how a disk is made")?;
        let closure = self.closure(part)?;
        let mut download = self.apt_get(part);
        download.args(["download", "-q"]).args(closure).current_dir(&packages);
        ask("downloading a Debian for guests", &mut download)?;
        let mut build = Command::new("sh");
        build.arg(&script).arg(&packages).arg(&depot.modules).arg(part);
        ask("making a disk for guests", &mut build)?;
        let archive = early(&part.join("tree"), depot)?;
        fs::write(part.join("initramfs"), archive).context("writing what starts from the disk")?;
        for done in ["packages", "tree"] {
            fs::remove_dir_all(part.join(done)).with_context(|| format!("removing {done}"))?;
        }
        fs::write(part.join("recipe"), self.recipe()).context("noting how the disk was made")
    }

    /// apt-get as on a machine that has nothing: what is installed here may be of a version that no
    /// mirror has any more.
    fn apt_get(self, part: &Path) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("-o").arg(format!("Dir::State::status={}", part.join("status").display()));
        command
    }

    /// The packages, and all that they need.
    fn closure(self, part: &Path) -> Result<Vec<String>> {
        fs::write(part.join("status"), "").context("writing an empty list of packages")?;
        let mut command = self.apt_get(part);
        command.args(["install", "--simulate", "--no-install-recommends"]);
        command.args(self.packages().split_whitespace());
        let text = ask("asking apt-get what a Debian for guests needs", &mut command)?;
        let names = text.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        Ok(names.map(str::to_owned).collect())
    }
}

impl Image {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// What the machine runs until it has its disk.
fn early(tree: &Path, depot: &Depot) -> Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let mut archive = Archive::default();
    let folders = "dev proc sys mnt modules bin sbin usr usr/bin usr/sbin lib64 lib \
                   lib/x86_64-linux-gnu";
    folders.split_whitespace().for_each(|folder| archive.folder(folder));
    archive.device("dev/console", (5, 1));
    archive.program("init", INIT.as_bytes());
    let mut libraries = std::collections::BTreeSet::new();
    for program in EARLY {
        archive.program(program, &read(&tree.join(program))?);
        let mut ldd = Command::new("chroot");
        ldd.arg(tree).args(["ldd", &format!("/{program}")]);
        libraries.extend(initramfs::paths(&ask("asking what a program needs", &mut ldd)?));
    }
    archive.program("usr/sbin/insmod", &read(&tree.join("usr/bin/kmod"))?);
    for library in libraries {
        let inside = library.strip_prefix("/").context("a library without a place")?;
        let bytes = read(&tree.join(inside))?;
        archive.program(inside.to_str().context("a path that is no text")?, &bytes);
    }
    let modules = Modules::below(&depot.modules)?.in_order(&EARLY_MODULES)?;
    for (number, module) in modules.iter().enumerate() {
        let name = module.file_name().and_then(|name| name.to_str()).unwrap_or("module.ko");
        archive.program(&format!("{MODULES}/{number:02}-{name}"), &read(module)?);
    }
    Ok(archive.finish())
}

/// What a system is started with.
#[derive(Clone, Debug)]
pub struct SystemPlan {
    /// A folder of its own; its sockets, its files and what its network card sees lie here.
    pub folder: PathBuf,
    /// Files that it finds on its second disk, see [`System::MOUNT_FILES`].
    pub files: PathBuf,
    /// More of the kernel's command line: `cordon.noise`.
    pub kernel_arguments: String,
    /// More of qemu's arguments.
    pub hardware: Vec<String>,
}

/// A running system.
#[derive(Debug)]
pub struct System {
    machine: Machine,
    terminal: UnixStream,
    said: Lines,
    capture: PathBuf,
    scripts: u32,
}

impl System {
    /// Run inside, this makes the files of its plan appear in /mnt.
    pub const MOUNT_FILES: &str = "mount -o ro /dev/vdb /mnt";

    /// Switches it on and waits until it is up. Its network is one that qemu makes up: what it
    /// sends is sent by qemu, from the network namespace of the calling thread.
    pub fn start(depot: &Depot, image: &Image, plan: &SystemPlan) -> Result<Self> {
        let path = |name: &str| plan.folder.join(name).display().to_string();
        let files = path("files.img");
        let mut make = Command::new("mke2fs");
        make.args(["-q", "-t", "ext4", "-d"]).arg(&plan.files).args([&files, "256M"]);
        ask("making a disk of files", &mut make)?;
        let disk = path("disk");
        if !Path::new(&disk).exists() {
            let mut copy = Command::new("cp");
            copy.arg("--sparse=always").arg(image.path("disk")).arg(&disk);
            ask("copying the disk", &mut copy)?;
        }
        let mut hardware = vec![
            "-drive".to_owned(),
            format!("file={disk},if=virtio,format=raw"),
            "-drive".to_owned(),
            format!("file={files},if=virtio,format=raw,snapshot=on"),
            "-netdev".to_owned(),
            "user,id=net".to_owned(),
            "-device".to_owned(),
            "virtio-net-pci,netdev=net,mac=52:54:00:12:34:56".to_owned(),
            "-object".to_owned(),
            format!("filter-dump,id=dump,netdev=net,file={}", path("capture")),
            "-serial".to_owned(),
            format!("unix:{},server=on,wait=off", path("terminal")),
        ];
        hardware.extend_from_slice(&plan.hardware);
        let machine = Machine::start(
            depot,
            &Plan {
                folder: plan.folder.clone(),
                initramfs: fs::read(image.path("initramfs")).context("reading the image")?,
                memory_mib: MEMORY_MIB,
                kernel_arguments: plan.kernel_arguments.clone(),
                hardware,
                reboots: false,
            },
        )?;
        let terminal = UnixStream::connect(plan.folder.join("terminal"));
        let terminal = terminal.context("connecting to the system's shell")?;
        let said = Lines::new(terminal.try_clone().context("connecting to the system's shell")?);
        let capture = plan.folder.join("capture");
        let mut system = Self { machine, terminal, said, capture, scripts: 0 };
        system.wait_until_up()?;
        Ok(system)
    }

    /// Runs a script as root, and what it said; an error where it failed.
    pub fn run(&mut self, script: &str) -> Result<String> {
        match self.try_run(script)? {
            (0, said) => Ok(said),
            (status, said) => bail!("inside, `{script}` failed ({status}):\n{said}"),
        }
    }

    /// Runs a script as root: its exit code, and what it said on both its outputs.
    pub fn try_run(&mut self, script: &str) -> Result<(i32, String)> {
        self.scripts += 1;
        let end = format!("end-{}", self.scripts);
        let sent = self.terminal.write_all(format!("{end}\n{script}\n{end}\n").as_bytes());
        sent.context("asking the system's shell")?;
        let (mut said, watch) = (Vec::new(), Stopwatch::start());
        loop {
            let line = self.line(watch.left_of(SCRIPT_WITHIN), script)?;
            if let Some(line) = line.strip_prefix('|') {
                said.push(line.to_owned());
            } else if let Some(status) = line.strip_prefix(&end) {
                return Ok((status.trim().parse().context("an exit code")?, said.join("\n")));
            }
        }
    }

    /// Runs a script until it succeeds.
    pub fn await_success(&mut self, script: &str) -> Result<String> {
        let mut last = String::new();
        let done = wait_until(SCRIPT_WITHIN, || {
            let (status, said) = self.try_run(script)?;
            last.clone_from(&said);
            anyhow::Ok((status == 0).then_some(said))
        })?;
        done.with_context(|| format!("inside, `{script}` never succeeded:\n{last}"))
    }

    /// As if somebody had pulled the plug: what was not synced is lost. Started again with the same
    /// plan it goes on from its disk, and its network card is recorded anew. (qemu's own reset is
    /// not used: emulated kernels were seen to take minutes, or for ever, to start after it.)
    pub fn cut_power(self) -> Result<()> {
        self.machine.power_off()
    }

    /// The machine that it runs on: devices are plugged in and out there.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// What its network card has seen so far.
    pub fn capture(&self) -> Result<Vec<u8>> {
        fs::read(&self.capture).with_context(|| format!("reading {}", self.capture.display()))
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let watch = Stopwatch::start();
        while self.line(watch.left_of(BOOT_WITHIN), "its start")? != "ready" {}
        Ok(())
    }

    fn line(&mut self, limit: Duration, what: &str) -> Result<String> {
        let line = self.said.next_within(limit);
        let line = line.with_context(|| {
            let console = self.machine.console_so_far().join("\n");
            format!("waiting inside for {what}; the console says:\n{console}")
        })?;
        line.with_context(|| format!("the system ended before {what}"))
    }
}
