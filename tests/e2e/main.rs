//! What only the whole can show: the real programs in a lab of network namespaces, killed,
//! starved, lied to and fed with nonsense.
//!
//! Needs root; without it every test skips by name.

mod bad_enrolment;
mod bad_settings;
mod block;
mod break_glass;
mod budget;
mod certificate;
mod collect;
mod disk_full;
mod doors;
mod hold;
mod hostile;
mod kill;
mod lab;
mod lease;
mod outage;
mod passkey;
mod presence;
mod preview;
mod processes;
mod quarantine;
mod query;
mod red_team;
mod responses;
mod scene;
mod signer;
mod snapshot;
mod tamper;
mod two_persons;

use std::process::ExitCode;

use anyhow::Result;
use cordon_packaging::{lab::unavailable, programs};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Body = fn() -> Result<()>;

const TESTS: &[(&str, Body)] = &[
    ("a string that lets nobody in says why", bad_enrolment::strings),
    ("settings with mistakes name the line, and a port in use its door", bad_settings::settings),
    ("an endpoint with an expired certificate renews it and comes back", certificate::expired),
    ("garbage on either door harms nobody else", doors::garbage),
    ("nobody speaks as another endpoint, or past a hole in its chain", doors::impostor),
    ("what happens while the collector is down arrives afterwards", outage::collector_down),
    ("a full disk under the agent loses only what it counts", disk_full::under_the_spool),
    ("a full disk under the collector loses nothing", disk_full::under_the_collector),
    ("SIGKILL at any moment, of agent and collector: every event once", kill::at_random),
    ("a lease ends by itself, without the collector", lease::ends_alone),
    ("an isolation outlives its agent", lease::outlives_the_agent),
    ("a code typed at the endpoint ends an isolation, once", break_glass::agent_running),
    ("a code typed while the agent is dead does too", break_glass::agent_dead),
    ("a code typed while the supervisor holds does too", break_glass::supervisor_holds),
    (
        "an endpoint cuts itself off as its policy says, without the collector",
        responses::cuts_itself_off,
    ),
    ("an endpoint ends what its policy names, and nobody else", responses::kills),
    ("a policy makes an agent cost less, and the line keeps to its rate", budget::kept),
    ("processes are ended and stopped, and what must not be is refused", processes::held),
    ("the supervisor holds where no agent runs, and hands over", hold::without_an_agent),
    ("the supervisor ends a lease", hold::ends_the_lease),
    ("a signed release in a file lets back whoever runs", hold::released_by_file),
    ("the supervisor holds nothing in the initial network namespace", hold::outside),
    ("a change to the rules is put back and told with its process", tamper::put_back),
    ("a device that appears is closed at once and nobody's doing", tamper::new_device),
    ("two groups are shut off from each other by one command", block::segment),
    ("the ports intruders move along are shut for a client", block::lateral),
    ("a query is answered, limited, verified and kept by nobody", query::asked),
    ("a file goes into the vault and comes back as it was", quarantine::there_and_back),
    ("evidence is collected, delivered over a cut link, and verified", collect::brought),
    ("every kind of silence is told from the others", presence::silences),
    ("what an isolation would cut is shown, and who is needed waits for two", preview::shown),
    ("a snapshot is taken before an action, and its failure stops none", snapshot::taken),
    ("a passkey at the signing page commands, and no other page is answered", signer::commands),
    ("two persons must sign where the roster says so", two_persons::approve),
    ("a hostile collector commands nothing", red_team::commands),
    ("a hostile collector cannot make an agent forget", red_team::memory),
    ("in the initial network namespace nothing is isolated", lab::initial_namespace),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Labs share the machine's process events and two cores: one fleet at a time.
    arguments.test_threads = Some(1);
    let trials =
        TESTS.iter().map(|&(name, body)| Trial::ignorable_test(name, move || unless(body)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn unless(body: Body) -> Result<Completion, Failed> {
    if let Some(reason) = unavailable() {
        return Ok(Completion::ignored_with(reason));
    }
    // Cargo does not build the programs of other packages for a test.
    for program in ["cordon", "cordon-agent", "cordon-collector"] {
        if let Err(reason) = programs::find(program) {
            return Ok(Completion::ignored_with(reason.to_string()));
        }
    }
    body().map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}
