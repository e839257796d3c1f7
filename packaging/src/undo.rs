//! What must be put back whatever happens: at the end, on an error, on Ctrl-C, on SIGTERM.
//!
//! Every lasting change goes through [`make`], which notes its undo and hands back a guard; dropping
//! the guard puts the change back. A signal puts back all that is noted, the last first, and ends
//! the process. Only SIGKILL leaves something behind: `lab` sweeps that up at its next start.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::say;

/// How long a signal waits for a change in progress: each is one short command.
const CHANGE_MAX: Duration = Duration::from_secs(15);

type Act = Box<dyn FnOnce() -> Result<(), String> + Send>;

struct Entry {
    id: u64,
    what: String,
    act: Act,
}

struct Book {
    next_id: u64,
    entries: Vec<Entry>,
    /// Threads that are making or undoing something right now.
    busy: usize,
    stopping: bool,
}

static BOOK: Mutex<Book> =
    Mutex::new(Book { next_id: 0, entries: Vec::new(), busy: 0, stopping: false });
static IDLE: Condvar = Condvar::new();
static WATCH: Once = Once::new();

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Puts its change back when dropped.
#[derive(Debug)]
#[must_use = "dropping it puts the change back at once"]
pub struct Undo(u64);

impl Undo {
    /// Forgets the change: it has ended by itself, there is nothing to put back.
    pub fn forget(self) {
        drop(take(self.0));
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let inside = Inside::enter();
        if let Some(entry) = take(self.0) {
            carry_out(entry);
        }
        drop(inside);
    }
}

/// Makes a change whose undo is noted before it is made, so that even half of it is put back.
pub fn make<T, E>(
    what: &str,
    undo: impl FnOnce() -> Result<(), String> + Send + 'static,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<(T, Undo), E> {
    WATCH.call_once(watch);
    let inside = Inside::enter();
    let guard = note(what, Box::new(undo));
    let made = change();
    drop(inside);
    made.map(|value| (value, guard))
}

fn note(what: &str, act: Act) -> Undo {
    let mut book = book();
    let id = book.next_id;
    book.next_id += 1;
    book.entries.push(Entry { id, what: what.to_owned(), act });
    Undo(id)
}

fn take(id: u64) -> Option<Entry> {
    let mut book = book();
    let at = book.entries.iter().position(|entry| entry.id == id)?;
    Some(book.entries.remove(at))
}

fn carry_out(entry: Entry) {
    if let Err(reason) = (entry.act)() {
        say::error(&format!("putting back {}: {reason}", entry.what));
    }
}

fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts this thread as busy, so that a signal waits for it; once a signal is being carried out
/// a thread that comes here new waits for the process to end instead of making something more.
struct Inside;

impl Inside {
    fn enter() -> Self {
        let depth = DEPTH.get();
        DEPTH.set(depth + 1);
        if depth == 0 {
            let mut book = book();
            while book.stopping {
                book = IDLE.wait(book).unwrap_or_else(PoisonError::into_inner);
            }
            book.busy += 1;
        }
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            book().busy -= 1;
            IDLE.notify_all();
        }
    }
}

/// Starts the thread that waits for signals, and returns when it listens.
fn watch() {
    let (tell, told) = sync_channel(1);
    let body = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let (name, code) = runtime.block_on(async {
            match listen() {
                Ok(signals) => {
                    drop(tell.send(Ok(())));
                    first_of(signals).await
                }
                Err(error) => {
                    drop(tell.send(Err(error)));
                    std::future::pending().await
                }
            }
        });
        put_all_back(name);
        std::process::exit(code);
    };
    let started = std::thread::Builder::new().name("signals".into()).spawn(body);
    let listening = started.and_then(|_| told.recv().map_err(io::Error::other)?);
    if let Err(error) = listening {
        say::error(&format!("waiting for signals, so Ctrl-C will leave things behind: {error}"));
    }
}

fn listen() -> io::Result<[Signal; 3]> {
    Ok([
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ])
}

/// The name of the first signal, and the exit code a shell expects for it.
async fn first_of([mut interrupt, mut terminate, mut hangup]: [Signal; 3]) -> (&'static str, i32) {
    tokio::select! {
        _ = interrupt.recv() => ("Ctrl-C", 130),
        _ = terminate.recv() => ("SIGTERM", 143),
        _ = hangup.recv() => ("SIGHUP", 129),
    }
}

fn put_all_back(signal_name: &str) {
    let mut book = book();
    book.stopping = true;
    let waited = IDLE.wait_timeout_while(book, CHANGE_MAX, |book| book.busy > 0);
    let (mut book, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
    if timeout.timed_out() {
        say::error("a change was still being made; putting back the others");
    }
    let entries = std::mem::take(&mut book.entries);
    drop(book);
    if !entries.is_empty() {
        say::line(&format!("{signal_name}: putting back what was changed: {}", entries.len()));
    }
    entries.into_iter().rev().for_each(carry_out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    type Diary = Arc<Mutex<Vec<String>>>;

    fn change(diary: &Diary, name: &str, works: bool) -> Result<Undo, String> {
        let (undone, made) = (Arc::clone(diary), Arc::clone(diary));
        let (undo_name, name) = (name.to_owned(), name.to_owned());
        let undo = move || {
            undone.lock().unwrap().push(format!("undo {undo_name}"));
            Ok(())
        };
        let make_it = || {
            made.lock().unwrap().push(format!("make {name}"));
            if works { Ok(()) } else { Err("it broke".to_owned()) }
        };
        make("a change of the test", undo, make_it).map(|((), undo)| undo)
    }

    #[track_caller]
    fn check(diary: &Diary, expected: &str) {
        assert_eq!(diary.lock().unwrap().join(", "), expected);
    }

    #[test]
    fn dropping_the_guard_puts_the_change_back() {
        let diary = Diary::default();
        let guard = change(&diary, "a", true).unwrap();
        check(&diary, "make a");
        drop(guard);
        check(&diary, "make a, undo a");
    }

    #[test]
    fn a_change_that_failed_half_way_is_put_back_too() {
        let diary = Diary::default();
        change(&diary, "a", false).unwrap_err();
        check(&diary, "make a, undo a");
    }

    #[test]
    fn a_change_that_ended_by_itself_is_not_put_back() {
        let diary = Diary::default();
        change(&diary, "a", true).unwrap().forget();
        check(&diary, "make a");
    }
}
