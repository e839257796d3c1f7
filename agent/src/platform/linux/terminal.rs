//! The terminal that somebody types on: a line without showing it.
#![allow(unsafe_code, reason = "the C library keeps the terminal's settings")]

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::mem::MaybeUninit;

use zeroize::Zeroizing;

/// Asks on standard error and reads a line from standard input; where that is a terminal, what is
/// typed is not shown. At most `bytes_max` are read, and none at the end of the input.
pub fn ask_hidden(prompt: &str, bytes_max: u64) -> io::Result<Option<Zeroizing<String>>> {
    let input = io::stdin();
    let hidden = if input.is_terminal() { Some(Hidden::hide()?) } else { None };
    if hidden.is_some() {
        write!(io::stderr(), "{prompt}")?;
    }
    let mut line = Zeroizing::new(String::new());
    let read = input.lock().take(bytes_max).read_line(&mut line);
    if hidden.is_some() {
        // The end of the line was not shown either.
        writeln!(io::stderr())?;
    }
    drop(hidden);
    Ok((read? > 0).then_some(line))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden {
    before: libc::termios,
}

impl Hidden {
    fn hide() -> io::Result<Self> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: the call fills what it is given, or fails.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was filled.
        let before = unsafe { before.assume_init() };
        let mut hidden = before;
        hidden.c_lflag &= !libc::ECHO;
        set(&hidden)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody left to be told, and the next shell sets its terminal anew.
        set(&self.before).ok();
    }
}

fn set(settings: &libc::termios) -> io::Result<()> {
    // SAFETY: the settings are whole, and only read.
    match unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, settings) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
