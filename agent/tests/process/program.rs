//! The smallest programs there are, and many of them at once.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

/// How many are started at the same time.
const THREADS: usize = 4;

/// What a tiny program does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Ends with this code.
    End(u8),
    /// Stays until it is killed.
    Stay,
    /// Ends its first thread at once and, by another, itself with code 7 a little later.
    FirstThreadFirst,
}

/// Writes a program of a few instructions, without libraries: it lives a tenth of a millisecond.
pub(crate) fn tiny_program(path: &Path, part: Part) -> io::Result<()> {
    const X86_64: u16 = 62;
    let code = code(part);
    let (header_bytes, segment_bytes) = (64u16, 56u16);
    let start = u64::from(header_bytes) + u64::from(segment_bytes);
    let base = 0x40_0000u64;
    let length = start + u64::try_from(code.len()).map_err(io::Error::other)?;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // An executable, version 1.
    file.extend([2, X86_64].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    // Where it starts, where its only segment is described, no sections, no flags.
    file.extend([base + start, u64::from(header_bytes), 0].iter().flat_map(|x| x.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    let sizes = [header_bytes, segment_bytes, 1, 64, 0, 0];
    file.extend(sizes.iter().flat_map(|half| half.to_le_bytes()));
    // One segment: loaded whole, to be read and executed.
    file.extend([1u32, 5].iter().flat_map(|word| word.to_le_bytes()));
    file.extend([0, base, base, length, length, 0x1000].iter().flat_map(|x| x.to_le_bytes()));
    file.extend(code);
    std::fs::write(path, file)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

fn code(part: Part) -> Vec<u8> {
    match part {
        // mov edi, code; mov eax, SYS_exit; syscall
        Part::End(code) => vec![0xbf, code, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
        // mov eax, SYS_pause; syscall; jmp to the start
        Part::Stay => vec![0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7],
        Part::FirstThreadFirst => [
            // push 200_000_000; push 0: a time of a fifth of a second
            &[0x68, 0x00, 0xc2, 0xeb, 0x0b, 0x6a, 0x00][..],
            // mov edi, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD
            &[0xbf, 0x00, 0x0f, 0x01, 0x00],
            // mov rsi, rsp; xor edx, edx; xor r10, r10; xor r8, r8
            &[0x48, 0x89, 0xe6, 0x31, 0xd2, 0x4d, 0x31, 0xd2, 0x4d, 0x31, 0xc0],
            // mov eax, SYS_clone; syscall; test eax, eax; jnz over the second thread's part
            &[0xb8, 56, 0, 0, 0, 0x0f, 0x05, 0x85, 0xc0, 0x75, 24],
            // mov rdi, rsp; xor esi, esi; mov eax, SYS_nanosleep; syscall
            &[0x48, 0x89, 0xe7, 0x31, 0xf6, 0xb8, 35, 0, 0, 0, 0x0f, 0x05],
            // mov edi, 7; mov eax, SYS_exit_group; syscall
            &[0xbf, 7, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05],
            // xor edi, edi; mov eax, SYS_exit; syscall
            &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
        ]
        .concat(),
    }
}

/// Set for a child that is this very program and shall start others.
const STORM: &str = "CORDON_TEST_STORM";

/// A program run as fast as it goes, by a process of its own: ends of its children then disturb
/// no thread of the sensor's.
pub(crate) struct Storm<'a> {
    pub(crate) program: &'a Path,
    /// What stands before each one's number in its first argument.
    pub(crate) marker: &'a str,
    pub(crate) count: usize,
    /// How long another argument is.
    pub(crate) more_bytes: usize,
}

impl Storm<'_> {
    pub(crate) fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        let numbers = [self.count, self.more_bytes].map(|number| number.to_string());
        command.arg(self.program).arg(self.marker).args(numbers).env(STORM, "1").spawn()
    }
}

/// Plays the child's part if this process is one.
pub(crate) fn storm_if_asked() -> Option<ExitCode> {
    std::env::var_os(STORM)?;
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let (program, marker, count, more_bytes) = (next(), next(), next(), next());
    let ran = match (count.parse(), more_bytes.parse()) {
        (Ok(count), Ok(more)) => flat_out(program.as_ref(), &marker, count, more).is_ok(),
        _ => false,
    };
    Some(if ran { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn flat_out(program: &Path, marker: &str, count: usize, more_bytes: usize) -> io::Result<()> {
    let run = &|thread: usize| -> io::Result<()> {
        let more = "x".repeat(more_bytes);
        for number in (thread..count).step_by(THREADS) {
            let mut command = Command::new(program);
            command.env_clear().arg0("tiny").arg(format!("{marker}{number}"));
            command.args(["second argument with spaces", &format!("end={number}")]);
            if more_bytes > 0 {
                command.arg(&more);
            }
            let status = command.spawn()?.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("number {number} ended with {status}")));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        for thread in threads {
            thread.join().map_err(|_panic| io::Error::other("a thread panicked"))??;
        }
        Ok(())
    })
}
