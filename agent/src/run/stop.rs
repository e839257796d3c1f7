//! The one way to stop: the collector hears why, then the sensors end, then what they said goes to
//! disk. Nothing that stands is lifted by it.

use std::time::Duration;

use cordon_proto::event::{Body, Notice, Severity};
use cordon_proto::session::Cursor;

use super::Agent;
use super::sensors::Sensors;
use crate::clock;
use crate::kept;
use crate::machine;

/// Ending the sensors.
const SENSORS_MAX: Duration = Duration::from_secs(1);
/// Bringing to the spool what they said last.
const DELIVER_MAX: Duration = Duration::from_secs(5);
/// Saying goodbye to the collector.
const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// Bringing the spool to disk. Together they stay below what a service manager waits.
const CLOSE_MAX: Duration = Duration::from_secs(8);

/// Until the collector has heard why nothing will be heard.
const HEARD_MAX: Duration = Duration::from_secs(3);

impl Agent {
    /// Tells the collector that the agent stops, and why, and waits a moment until it knows.
    pub(super) async fn say_goodbye(&mut self) {
        let machine = machine::is_stopping().await;
        let before = self.known_progress.control;
        self.tell(Severity::Informational, Body::Notice(Notice::Stopping { machine }));
        let heard = async {
            while self.link.is_live() && !self.is_heard_after(before) {
                let wake = self.wake().await;
                self.handle(wake);
            }
        };
        within("telling the collector that the agent stops", HEARD_MAX, heard).await;
    }

    pub(super) async fn stop(mut self) {
        self.stop_queries();
        within("ending the sensors", SENSORS_MAX, Sensors::stop(&mut self.sensors)).await;
        within("delivering", DELIVER_MAX, self.deliver_rest()).await;
        let kept = self.time.keep(clock::boot_ns());
        if let Err(error) = kept::write_time(&self.own, &kept) {
            tracing::error!(%error, "endpoint time could not be kept");
        }
        within("saying goodbye to the collector", GOODBYE_MAX, self.link.finish()).await;
        let closed = tokio::time::timeout(CLOSE_MAX, self.spool.close()).await;
        match closed {
            Ok(Ok(())) => self.join_spool(),
            Ok(Err(error)) => tracing::error!(%error, "the spool was not closed"),
            Err(_elapsed) => tracing::error!("the spool did not close in time"),
        }
        tracing::info!("stopped");
    }

    fn is_heard_after(&self, before: Cursor) -> bool {
        let sealed = self.known_progress.control;
        sealed > before && self.delivery.heard >= sealed
    }

    async fn deliver_rest(&mut self) {
        self.reports.close();
        while let Some((name, report)) = self.reports.recv().await {
            self.report(name, report);
        }
        let shed = self.thrift.rest(clock::stamp().time_ns);
        shed.into_iter().for_each(|sample| self.deliver(sample));
        while !self.delivery.is_idle() || self.reacting.is_writing() {
            let done = self.jobs.next().await;
            self.done(done);
        }
    }

    /// Its last order was to end, so that this does not wait.
    fn join_spool(&mut self) {
        if let Some(Err(_panic)) = self.spool_thread.take().map(std::thread::JoinHandle::join) {
            tracing::error!("the spool's thread has failed");
        }
    }
}

async fn within(what: &str, time_max: Duration, work: impl Future<Output = ()>) {
    if tokio::time::timeout(time_max, work).await.is_err() {
        tracing::warn!(what, "given up while stopping");
    }
}
