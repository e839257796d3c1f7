//! The sensor on real files: every kind of rotation as a timeline turned by hand, a thousand drawn
//! from numbers, and under a writer that does not wait, with the sensor killed at random.

mod busy;
mod generated;
mod kinds;
mod scene;
mod timeline;

use super::*;
use crate::clock::stamp;
use crate::sensor::Report;

#[test]
fn settings_have_defaults_and_refuse_what_they_do_not_know() {
    let settings: LogSettings = toml::from_str("paths = ['/a/*.log']").unwrap();
    assert_eq!(
        settings,
        LogSettings { paths: vec!["/a/*.log".to_owned()], ..LogSettings::default() }
    );
    assert!(toml::from_str::<LogSettings>("path = '/a'").is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn a_sensor_that_is_switched_off_says_so() {
    let (reports, mut said) = mpsc::channel(1);
    let settings = LogSettings { enabled: false, ..LogSettings::default() };
    run(settings, stamp, Outlet::new(NAME, reports), Vec::new()).await.unwrap();
    let (_sensor, report) = said.recv().await.unwrap();
    assert!(matches!(report, Report::Condition(said) if said.state == SensorState::Off));
}

#[tokio::test(flavor = "current_thread")]
async fn a_sensor_ends_when_nobody_listens() {
    let (reports, said) = mpsc::channel(1);
    drop(said);
    let end = run(LogSettings::default(), stamp, Outlet::new(NAME, reports), Vec::new()).await;
    assert_eq!(end, Err(Stopping));
}
