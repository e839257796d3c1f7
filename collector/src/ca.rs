//! The collector's certificate authority: one root, one intermediate per client, and what they
//! issue. Each certificate lies beside its key in one file that only the collector may read.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cordon_proto::id::{ClientId, EndpointId, Hash};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use ring::rand::SecureRandom;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};

/// A day in seconds.
const DAY_SECS: u64 = 24 * 3600;

/// The root and the intermediates: longer than the machines they name.
const AUTHORITY_SECS: u64 = 3650 * DAY_SECS;

/// Endpoints' certificates; they renew at two thirds of it.
pub const ENDPOINT_SECS: u64 = 90 * DAY_SECS;

/// The collector's own; it renews when a third is left.
const SERVER_SECS: u64 = 90 * DAY_SECS;

/// The root's key and certificate.
const ROOT: &str = "root.pem";

/// What the names of intermediates begin with; the client's name follows.
pub const CLIENT_PREFIX: &str = "Cordon client ";

/// Clocks differ: certificates begin a day before they are made.
const BACKDATED_SECS: u64 = DAY_SECS;

/// Why the authority could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}: {cause}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file does not hold a key and a certificate.
    #[error("{0} does not hold a private key and its certificate")]
    Damaged(PathBuf),
    /// There is an authority already.
    #[error("{0} exists already; this collector has its certificate authority")]
    Exists(PathBuf),
    /// Nobody made an intermediate for this client.
    #[error("client {0} is not known to this collector's certificate authority")]
    NoClient(ClientId),
    /// The request for a certificate is none, or its signature is wrong.
    #[error("the certificate signing request cannot be used: {0}")]
    Request(rcgen::Error),
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// No random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

/// A certificate with its key.
struct Pair {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

/// One of ours that signs.
struct Signer {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// An endpoint's certificate.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate and the client's intermediate, DER.
    pub chain: [Vec<u8>; 2],
    /// Until when it is good, seconds since 1970 UTC.
    pub until_secs: u64,
}

/// The collector's own certificate.
pub struct ServerCertificate {
    /// The certificate and the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivatePkcs8KeyDer<'static>,
}

/// The authority.
pub struct Ca {
    folder: PathBuf,
    root: Signer,
    clients: RwLock<BTreeMap<ClientId, Arc<Signer>>>,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ca(pin {})", self.pin().short())
    }
}

impl Ca {
    /// Makes a new authority in a folder that has none.
    pub fn init(folder: &Path, now_secs: u64) -> Result<Self, CaError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|cause| CaError::File { doing: "make", path: folder.to_owned(), cause })?;
        let path = folder.join(ROOT);
        if path.exists() {
            return Err(CaError::Exists(path));
        }
        let params = authority("Cordon collector root", 1, now_secs)?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        write_pair(&path, &key, certificate.der())?;
        Self::open(folder)
    }

    /// Whether an authority was made in this folder.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(ROOT).exists()
    }

    /// Opens the authority in a folder.
    pub fn open(folder: &Path) -> Result<Self, CaError> {
        let root = read_pair(&folder.join(ROOT))?.signer()?;
        let mut clients = BTreeMap::new();
        let failed = |cause| CaError::File { doing: "list", path: folder.to_owned(), cause };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let client = name.strip_prefix("client-").and_then(|name| name.strip_suffix(".pem"));
            if let Some(client) = client.and_then(|name| name.parse::<ClientId>().ok()) {
                clients.insert(client, Arc::new(read_pair(&path)?.signer()?));
            }
        }
        Ok(Self { folder: folder.to_owned(), root, clients: RwLock::new(clients) })
    }

    /// SHA-256 of the root certificate: what agents and operators pin.
    #[must_use]
    pub fn pin(&self) -> Hash {
        Hash::of(&self.root.certificate)
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root.certificate
    }

    /// The clients' intermediates.
    #[must_use]
    pub fn intermediates(&self) -> Vec<CertificateDer<'static>> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.values().map(|signer| signer.certificate.clone()).collect()
    }

    /// Makes a client's intermediate; keeps the one there is.
    pub fn add_client(&self, client: &ClientId, now_secs: u64) -> Result<(), CaError> {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        if clients.contains_key(client) {
            return Ok(());
        }
        let params = authority(&format!("{CLIENT_PREFIX}{client}"), 0, now_secs)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.root.issuer)?;
        let path = self.folder.join(format!("client-{client}.pem"));
        write_pair(&path, &key, certificate.der())?;
        clients.insert(client.clone(), Arc::new(read_pair(&path)?.signer()?));
        Ok(())
    }

    /// Issues an endpoint's certificate. Of the request only the key is taken, once the request
    /// proved that its sender has it; every name and use is ours.
    pub fn issue_endpoint(
        &self,
        client: &ClientId,
        endpoint: EndpointId,
        request: &[u8],
        now_secs: u64,
    ) -> Result<Issued, CaError> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let signer = clients.get(client).map(Arc::clone);
        drop(clients);
        let signer = signer.ok_or_else(|| CaError::NoClient(client.clone()))?;
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request);
        let key = request.map_err(CaError::Request)?.public_key;
        let mut params = leaf(&endpoint.to_string(), Vec::new(), ENDPOINT_SECS, now_secs)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &signer.issuer)?;
        let chain = [certificate.der().to_vec(), signer.certificate.to_vec()];
        Ok(Issued { chain, until_secs: now_secs.saturating_add(ENDPOINT_SECS) })
    }

    /// The collector's certificate: the one kept, or a new one when a third of its time is left or
    /// the names are others.
    pub fn server_certificate(
        &self,
        names: &[String],
        now_secs: u64,
    ) -> Result<ServerCertificate, CaError> {
        let path = self.folder.join("server.pem");
        let kept = if path.exists() { Some(read_pair(&path)?) } else { None };
        let pair = match kept.filter(|pair| pair.serves(names, now_secs)) {
            Some(pair) => pair,
            None => {
                let name = names.first().map_or("cordon-collector", String::as_str);
                let mut params = leaf(name, names.to_vec(), SERVER_SECS, now_secs)?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                let key = KeyPair::generate()?;
                let certificate = params.signed_by(&key, &self.root.issuer)?;
                write_pair(&path, &key, certificate.der())?;
                read_pair(&path)?
            }
        };
        let chain = vec![pair.certificate, self.root.certificate.clone()];
        Ok(ServerCertificate { chain, key: pair.key })
    }
}

impl Pair {
    fn signer(self) -> Result<Signer, CaError> {
        let key = KeyPair::try_from(&self.key)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, key)?;
        Ok(Signer { certificate: self.certificate, issuer })
    }

    /// Whether the certificate is for these names and has a third of its time left.
    fn serves(&self, names: &[String], now_secs: u64) -> bool {
        let Ok((_, read)) = x509_parser::parse_x509_certificate(&self.certificate) else {
            return false;
        };
        let until_secs = u64::try_from(read.validity().not_after.timestamp()).unwrap_or(0);
        let Ok(wanted) = leaf("", names.to_vec(), SERVER_SECS, 0) else { return false };
        let has = read.subject_alternative_name().ok().flatten().map_or(0, |extension| {
            let has = |name: &&String| {
                extension.value.general_names.iter().any(|found| is_name(found, name))
            };
            names.iter().filter(has).count()
        });
        has == wanted.subject_alt_names.len()
            && until_secs > now_secs.saturating_add(SERVER_SECS / 3)
    }
}

fn is_name(found: &x509_parser::extensions::GeneralName<'_>, name: &str) -> bool {
    use x509_parser::extensions::GeneralName;
    if let GeneralName::IPAddress(bytes) = found {
        return match name.parse() {
            Ok(std::net::IpAddr::V4(address)) => address.octets() == **bytes,
            Ok(std::net::IpAddr::V6(address)) => address.octets() == **bytes,
            Err(_) => false,
        };
    }
    matches!(found, GeneralName::DNSName(found) if *found == name)
}

fn authority(name: &str, depth: u8, now_secs: u64) -> Result<CertificateParams, CaError> {
    let mut params = leaf(name, Vec::new(), AUTHORITY_SECS, now_secs)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf(
    name: &str,
    names: Vec<String>,
    valid_secs: u64,
    now_secs: u64,
) -> Result<CertificateParams, CaError> {
    let mut serial = [0; 16];
    let random = ring::rand::SystemRandom::new().fill(&mut serial);
    random.map_err(|ring::error::Unspecified| CaError::Random)?;
    // A serial number is positive and has no leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let start = Duration::from_secs(now_secs.saturating_sub(BACKDATED_SECS));
    params.not_before = date_time_ymd(1970, 1, 1) + start;
    params.not_after = params.not_before + Duration::from_secs(valid_secs + BACKDATED_SECS);
    Ok(params)
}

fn read_pair(path: &Path) -> Result<Pair, CaError> {
    let pem = fs::read(path).map_err(|cause| CaError::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    })?;
    let certificate = CertificateDer::from_pem_slice(&pem).ok();
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).ok();
    let pair = certificate.zip(key).map(|(certificate, key)| Pair { certificate, key });
    pair.ok_or_else(|| CaError::Damaged(path.to_owned()))
}

/// Writes both whole or not at all: into a new file that then takes the old one's place.
fn write_pair(path: &Path, key: &KeyPair, certificate: &[u8]) -> Result<(), CaError> {
    let failed = |cause| CaError::File { doing: "write", path: path.to_owned(), cause };
    let new = path.with_extension("new");
    fs::remove_file(&new).or_else(gone).map_err(failed)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    file.write_all(key.serialize_pem().as_bytes()).map_err(failed)?;
    file.write_all(pem("CERTIFICATE", certificate).as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_authority_opens_as_it_was_made_and_its_keys_are_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::init(folder.path(), NOW).unwrap();
        ca.add_client(&"acme".parse().unwrap(), NOW).unwrap();
        let opened = Ca::open(folder.path()).unwrap();
        assert_eq!(opened.pin(), ca.pin());
        assert_eq!(opened.intermediates(), ca.intermediates());
        assert!(matches!(Ca::init(folder.path(), NOW), Err(CaError::Exists(_))));
        for file in fs::read_dir(folder.path()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn the_servers_certificate_is_renewed_when_a_third_is_left_or_names_change() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::init(folder.path(), NOW).unwrap();
        let leaf = |list: &[&str], now| ca.server_certificate(&names(list), now).unwrap().chain;
        let first = leaf(&["localhost", "127.0.0.1"], NOW);
        assert_eq!(leaf(&["localhost", "127.0.0.1"], NOW + 59 * DAY_SECS), first);
        let renewed = leaf(&["localhost", "127.0.0.1"], NOW + 61 * DAY_SECS);
        assert_ne!(renewed, first);
        assert_eq!(renewed[1], first[1], "under the same root");
        assert_ne!(leaf(&["localhost", "::1"], NOW + 61 * DAY_SECS), renewed);
    }

    #[test]
    fn an_endpoints_certificate_says_what_we_say_and_nothing_that_it_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::init(folder.path(), NOW).unwrap();
        let client: ClientId = "acme".parse().unwrap();
        ca.add_client(&client, NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(names(&["collector.example"])).unwrap();
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let request = asked.serialize_request(&key).unwrap();
        let id = EndpointId::of(b"key");
        let issued = ca.issue_endpoint(&client, id, request.der(), NOW).unwrap();
        let (_, read) = x509_parser::parse_x509_certificate(&issued.chain[0]).unwrap();
        let name = read.subject().iter_common_name().next().unwrap().as_str().unwrap();
        assert_eq!(name, id.to_string());
        assert!(!read.is_ca() && read.subject_alternative_name().unwrap().is_none());
        let uses = read.extended_key_usage().unwrap().unwrap().value;
        assert!(uses.client_auth && !uses.server_auth);
        let other = ca.issue_endpoint(&"other".parse().unwrap(), id, request.der(), NOW);
        assert!(matches!(other, Err(CaError::NoClient(_))));
        let mut damaged = request.der().to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let refused = ca.issue_endpoint(&client, id, &damaged, NOW);
        assert!(matches!(refused, Err(CaError::Request(_))));
    }
}
