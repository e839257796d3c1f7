//! One look at a living process, for sensors that know of it by its number alone.

use super::proc_file::Proc;

/// A process as it is now; what it does not show is none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::sensor) struct Looked {
    /// Boot-time clock in nanoseconds, in hundredths of a second.
    pub(in crate::sensor) start_boot_ns: Option<u64>,
    pub(in crate::sensor) parent_pid: Option<u32>,
    pub(in crate::sensor) uid: Option<u32>,
    /// The name that it gives itself.
    pub(in crate::sensor) name: Option<Vec<u8>>,
    /// The program that it runs, links resolved.
    pub(in crate::sensor) image: Option<Vec<u8>>,
    /// Its first argument: of an interpreter, the script.
    pub(in crate::sensor) script: Option<Vec<u8>>,
}

impl Looked {
    /// None if it is gone.
    pub(in crate::sensor) fn at(pid: u32) -> Option<Self> {
        let process = Proc::open().ok()?.process(pid)?;
        let stat = process.stat()?;
        let args = process.args().unwrap_or_default();
        let script = args.split(|byte| *byte == 0).nth(1).map(<[u8]>::to_vec);
        Some(Self {
            start_boot_ns: Some(stat.start_boot_ns),
            parent_pid: Some(stat.parent),
            uid: process.ids().map(|ids| ids.uid),
            name: process.name(),
            image: process.program(),
            script,
        })
    }
}
