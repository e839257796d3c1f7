//! A sign of life on stderr while something takes longer than a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long something may take in silence.
const SILENCE: Duration = Duration::from_secs(1);

/// Something under way; it stops showing when it is dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn start(doing: &str, terminal: bool) -> Self {
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_message(doing.to_owned());
        bar.set_style(ProgressStyle::default_spinner());
        Self { bar }
    }

    /// Waits for a future; shows that it is under way once a second has passed.
    pub async fn wait<T>(&self, under_way: impl Future<Output = T>) -> T {
        let mut under_way = std::pin::pin!(under_way);
        tokio::select! {
            done = &mut under_way => return done,
            () = tokio::time::sleep(SILENCE) => {}
        }
        self.bar.enable_steady_tick(Duration::from_millis(120));
        let done = under_way.await;
        self.bar.finish_and_clear();
        done
    }

    /// Says how far it got.
    pub fn say(&self, doing: &str) {
        self.bar.set_message(doing.to_owned());
    }

    /// Tells how many bytes have come.
    pub fn bytes(&self, doing: &str, bytes: u64) {
        self.bar.set_message(format!("{doing}: {}", indicatif::BinaryBytes(bytes)));
        if self.bar.elapsed() > SILENCE {
            self.bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
