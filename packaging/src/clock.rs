//! The one reader of time in the task runner.

use std::time::{Duration, Instant};

/// How often [`wait_until`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this file is the reader of time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// What is left of a limit that began with this stopwatch; zero when it is used up.
    pub fn left_of(self, limit: Duration) -> Duration {
        limit.saturating_sub(self.elapsed())
    }
}

/// Looks until there is something or the limit has passed. For what gives no sign that could be
/// waited for; where there is one, wait for that.
#[expect(clippy::disallowed_methods, reason = "what is looked at here gives no sign")]
pub fn wait_until<T, E>(
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let watch = Stopwatch::start();
    loop {
        let seen = look()?;
        if seen.is_some() || watch.left_of(limit).is_zero() {
            return Ok(seen);
        }
        std::thread::sleep(LOOK_EVERY.min(watch.left_of(limit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_until_there_is_something() {
        let mut looks = 0;
        let seen = wait_until(Duration::from_secs(10), || {
            looks += 1;
            Ok::<_, ()>((looks == 3).then_some("here"))
        });
        assert_eq!((seen, looks), (Ok(Some("here")), 3));
    }

    #[test]
    fn it_looks_once_even_without_time_and_stops_at_an_error() {
        assert_eq!(wait_until(Duration::ZERO, || Ok::<Option<()>, ()>(None)), Ok(None));
        assert_eq!(wait_until(Duration::MAX, || Err::<Option<()>, _>("broken")), Err("broken"));
    }
}
