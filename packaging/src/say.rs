//! The one place where the task runner prints: one line a step, errors apart on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

pub fn line(text: &str) {
    write(&mut io::stdout().lock(), &format!("{text}\n"));
}

pub fn error(text: &str) {
    write(&mut io::stderr().lock(), &format!("error: {text}\n"));
}

/// Output of a program, as it came.
pub fn output(text: &str) {
    write(&mut io::stdout().lock(), text);
}

/// Says what is being done now; only on a terminal, where [`step`] writes over it.
pub fn begin(what: &str) {
    if io::stdout().is_terminal() {
        write(&mut io::stdout().lock(), &format!("..           {what}\r"));
    }
}

/// One finished step: how it ended, how long it took, what it was.
pub fn step(mark: &str, took: Duration, what: &str) {
    let clear = if io::stdout().is_terminal() { "\x1b[2K" } else { "" };
    line(&format!("{clear}{}", step_line(mark, took, what)));
}

fn step_line(mark: &str, took: Duration, what: &str) -> String {
    format!("{mark:<4} {:>6.1} s  {what}", took.as_secs_f64())
}

fn write(to: &mut impl Write, text: &str) {
    let written = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    // Whoever read us is gone (`cargo verify | head`): nobody is left to tell.
    drop(written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_aligned_line() {
        let line = step_line("ok", Duration::from_millis(3_240), "enrolled endpoint web-01");
        assert_eq!(line, "ok      3.2 s  enrolled endpoint web-01");
    }
}
