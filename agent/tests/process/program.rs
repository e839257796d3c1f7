//! The smallest programs there are, and many of them at once.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How many are started at the same time.
const THREADS: usize = 4;

/// What a tiny program does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Ends with this code.
    End(u8),
    /// Stays until it is killed.
    Stay,
}

/// Writes a program of a few instructions, without libraries: it lives a tenth of a millisecond.
pub(crate) fn tiny_program(path: &Path, part: Part) -> io::Result<()> {
    let code = code(part);
    let (header_bytes, segment_bytes) = (64u16, 56u16);
    let start = u64::from(header_bytes) + u64::from(segment_bytes);
    let base = 0x40_0000u64;
    let length = start + u64::try_from(code.len()).map_err(io::Error::other)?;
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // An executable for this machine, version 1.
    file.extend([2u16, machine].iter().flat_map(|half| half.to_le_bytes()));
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

#[cfg(target_arch = "x86_64")]
fn code(part: Part) -> Vec<u8> {
    match part {
        // mov edi, code; mov eax, SYS_exit; syscall
        Part::End(code) => vec![0xbf, code, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
        // mov eax, SYS_pause; syscall; jmp to the start
        Part::Stay => vec![0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7],
    }
}

#[cfg(target_arch = "aarch64")]
fn code(part: Part) -> Vec<u8> {
    let instructions: Vec<u32> = match part {
        // mov x0, code; mov x8, SYS_exit; svc 0
        Part::End(code) => vec![0xd280_0000 | u32::from(code) << 5, 0xd280_0ba8, 0xd400_0001],
        // ppoll of nothing without end: mov x0 … x4, 0; mov x8, SYS_ppoll; svc 0; b to itself
        Part::Stay => vec![
            0xd280_0000,
            0xd280_0001,
            0xd280_0002,
            0xd280_0003,
            0xd280_0004,
            0xd280_0928,
            0xd400_0001,
            0x1400_0000,
        ],
    };
    instructions.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Runs a program `count` times as fast as it goes and waits for each; every one is told its
/// number, and has arguments of that many bytes more.
pub(crate) fn flat_out(
    program: &Path,
    marker: &str,
    count: usize,
    more_bytes: usize,
) -> io::Result<Duration> {
    let started = tokio::time::Instant::now();
    let run = &|thread: usize| -> io::Result<()> {
        let more = "x".repeat(more_bytes);
        for number in (thread..count).step_by(THREADS) {
            let mut command = Command::new(program);
            command.arg0("tiny").arg(format!("{marker}{number}"));
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
        Ok(started.elapsed())
    })
}
