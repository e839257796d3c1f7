//! Attacks with a person's passkey: assertions that were made for something else, elsewhere, or
//! without the person, put under a command by a collector that has seen them all.

use anyhow::Result;
use cordon_proto::command::{Action, Command};
use cordon_proto::event::receipt::Check;

use super::attacks::{Attack, Forge, attack};
use crate::passkey::{Claim, USER_PRESENT, USER_VERIFIED};

impl Forge {
    /// An isolation that carol's passkey signed.
    pub(super) fn isolate_with_passkey(&self) -> Result<Vec<u8>> {
        self.passkey.sign(self.command(), &self.passkey.honest())
    }

    pub(super) fn with_passkeys(&self) -> Result<Vec<Attack>> {
        let mut attacks = self.made_elsewhere()?;
        attacks.extend(self.made_for_another()?);
        Ok(attacks)
    }

    /// The command is the one that was signed; where and how is not as the roster wants it.
    fn made_elsewhere(&self) -> Result<Vec<Attack>> {
        let honest = self.passkey.honest();
        let of = |origin: &str| Claim { origin: origin.to_owned(), ..honest.clone() };
        let claims = [
            ("at another origin", of("https://evil.example")),
            ("at the collector's own origin", of("https://localhost:8443")),
            ("at another port of the page's host", of("http://localhost:1")),
            ("inside another page", Claim { cross_origin: true, ..honest.clone() }),
            ("for another party", Claim { host: "collector.example", ..honest.clone() }),
            ("while a passkey was made", Claim { kind: "webauthn.create", ..honest.clone() }),
            ("without knowing who it was", Claim { flags: USER_PRESENT, ..honest.clone() }),
            ("while nobody was there", Claim { flags: USER_VERIFIED, ..honest.clone() }),
        ];
        let of_claim = |(what, claim): (&str, Claim)| {
            let signed = self.passkey.sign(self.command(), &claim)?;
            Ok(attack(format!("a passkey used {what}"), Check::Signature, signed))
        };
        claims.into_iter().map(of_claim).collect()
    }

    /// An honest assertion, under another command.
    fn made_for_another(&self) -> Result<Vec<Attack>> {
        let honest = self.passkey.honest();
        let release = Command { action: Action::Release, ..self.command() };
        let elsewhere = Command { targets: vec![self.db.clone()], ..self.command() };
        let of_release = self.passkey.assert(&release, &honest)?;
        let of_another = self.passkey.assert(&elsewhere, &honest)?;
        let isolate = Command { action: self.command().action, ..release };
        let here = Command { targets: vec![self.web.clone()], ..elsewhere.clone() };
        let stranger = self.stranger.sign(self.command(), &self.stranger.honest())?;
        let under = |command, value| self.passkey.under(command, value);
        let on_another = under(elsewhere, of_another.clone());
        Ok(vec![
            attack(
                "a passkey's release made an isolation",
                Check::Signature,
                under(isolate, of_release),
            ),
            attack(
                "a passkey's command turned to this endpoint",
                Check::Signature,
                under(here, of_another),
            ),
            attack("a passkey's command for another endpoint", Check::Target, on_another),
            attack("a passkey that nobody knows", Check::Signature, stranger),
            attack(
                "a file's signature as a passkey's",
                Check::Signature,
                under(self.command(), vec![7; 64]),
            ),
        ])
    }
}
