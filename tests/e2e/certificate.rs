//! An endpoint that was away for longer than its certificate: it renews it and comes back.
//!
//! No setting makes certificates short-lived, so one that is over is issued here with the key of
//! the client's own intermediate, and put into the endpoint's identity in the place of the good
//! one.

use std::time::Duration;

use anyhow::{Result, ensure};
use cordon_agent::identity::{Certificate, Identity, StateDir};
use cordon_collector::clock::Clock;
use cordon_packaging::fleet::Fleet;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::scene::{PATIENCE, WEB, await_lines, fleet_of_one, write_lines};

/// Within the life of the intermediate, which begins a day before it is made.
const BEGAN_AGO: Duration = Duration::from_secs(2 * 3600);
const ENDED_AGO: Duration = Duration::from_secs(3600);

pub(crate) fn expired() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    fleet.stop_agent(WEB)?;
    fleet.wait_for_state(WEB, "offline", PATIENCE)?;
    let old = put_old_certificate(&fleet)?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    let lines = write_lines(&fleet, WEB, "renewed", 0..10)?;
    await_lines(&fleet, WEB, &lines)?;
    let now = Identity::load(&StateDir::open(fleet.agent_state(WEB))?)?.certificate;
    ensure!(now.chain != old.chain, "it is online, and its certificate is still the old one");
    let log = fleet.log_tail(WEB);
    ensure!(log.contains("403 Forbidden"), "the old certificate was not refused:\n{log}");
    ensure!(
        log.contains("the certificate was renewed"),
        "the agent's log does not say that the certificate was renewed"
    );
    Ok(())
}

fn put_old_certificate(fleet: &Fleet) -> Result<Certificate> {
    let dir = StateDir::open(fleet.agent_state(WEB))?;
    let mut identity = Identity::load(&dir)?;
    let path = fleet.folder().join(format!("collector/ca/client-{}.pem", identity.client));
    let pem = std::fs::read(path)?;
    let intermediate = CertificateDer::from_pem_slice(&pem)?;
    let issuer = PrivatePkcs8KeyDer::from_pem_slice(&pem)?;
    let issuer = Issuer::from_ca_cert_der(&intermediate, KeyPair::try_from(&issuer)?)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, identity.endpoint.to_string());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let now = Duration::from_secs(Clock::system().wall_secs());
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(BEGAN_AGO);
    params.not_after = date_time_ymd(1970, 1, 1) + now.saturating_sub(ENDED_AGO);
    let key = KeyPair::generate()?;
    let old = params.signed_by(&key, &issuer)?;
    let chain = vec![old.der().to_vec().into(), intermediate.to_vec().into()];
    identity.certificate = Certificate { key: key.serialize_der(), chain, ..identity.certificate };
    identity.store(&dir)?;
    Ok(identity.certificate)
}
