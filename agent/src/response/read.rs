//! What responses read of an event: the fields that they compare, whom it is about, and the event
//! in one sentence.

use std::net::IpAddr;

use cordon_proto::Text;
use cordon_proto::command::{ProcessTarget, Quarantine};
use cordon_proto::event::device::{Device, DeviceKind};
use cordon_proto::event::login::Status;
use cordon_proto::event::network::{Connection, Direction};
use cordon_proto::event::process::{Exec, split_args};
use cordon_proto::event::response::BECAUSE_BYTES_MAX;
use cordon_proto::event::{
    Authentication, Body, DeviceEvent, FileEvent, NetworkEvent, ProcessEvent,
};
use cordon_proto::id::Hash;
use cordon_proto::policy::responses::Field;

/// What a field of an event is; none where the event does not have it, or it is not known.
pub(super) fn field(body: &Body, field: Field) -> Option<Vec<u8>> {
    match field {
        Field::ProcessPath => Some(bytes(exec(body)?.image.as_ref()?)),
        Field::ProcessResolvedPath => Some(bytes(exec(body)?.image_resolved.as_ref()?)),
        Field::ProcessArguments => {
            let args = exec(body)?.args.as_ref()?;
            Some(split_args(args).collect::<Vec<_>>().join(&b' '))
        }
        Field::ProcessSha256 => Some(exec(body)?.sha256?.to_string().into_bytes()),
        Field::ProcessUid => Some(number(exec(body)?.uid?)),
        Field::FindingRule => {
            let Body::Finding(finding) = body else { return None };
            Some(finding.rule.clone().into_bytes())
        }
        Field::FindingActorPath => {
            let Body::Finding(finding) = body else { return None };
            Some(bytes(finding.actor.as_ref()?.image.as_ref()?))
        }
        Field::PeerAddress => {
            Some(connection(body)?.remote.ip.to_canonical().to_string().into_bytes())
        }
        Field::PeerPort => {
            let port = connection(body)?.remote.port;
            (port != 0).then(|| number(u32::from(port)))
        }
        Field::LocalPort => Some(number(u32::from(local_port(body)?))),
        Field::FilePath => Some(bytes(&file(body)?.path)),
        Field::FileSha256 => Some(file(body)?.after.as_ref()?.sha256?.to_string().into_bytes()),
        Field::FileActorPath => Some(bytes(file(body)?.actor.as_ref()?.image.as_ref()?)),
        Field::LogLine => {
            let Body::Log(line) = body else { return None };
            Some(bytes(&line.line))
        }
        Field::LoginUser => Some(bytes(login(body)?.user.as_ref()?)),
        Field::LoginFrom => Some(bytes(login(body)?.from.as_ref()?)),
        Field::LoginStatus => match login(body)?.status {
            Status::Unknown => None,
            Status::Success => Some(b"success".to_vec()),
            Status::Failure => Some(b"failure".to_vec()),
        },
        Field::DeviceKind => Some(device_kind(device(body)?.kind).as_bytes().to_vec()),
        Field::DeviceVendor => Some(bytes(device(body)?.vendor.as_ref()?)),
        Field::DeviceModel => Some(bytes(device(body)?.model.as_ref()?)),
        Field::DeviceSerial => Some(bytes(device(body)?.serial.as_ref()?)),
    }
}

fn device_kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Usb => "usb",
        DeviceKind::Disk => "disk",
        DeviceKind::Partition => "partition",
        DeviceKind::Input => "input",
        DeviceKind::Network => "network",
    }
}

/// The process that an event is about, by what tells it from all others. What it runs is known of a
/// start alone; of another event it is the process that did it, whatever it runs by now.
pub(super) fn process(body: &Body) -> Result<ProcessTarget, String> {
    not_begun_by_others(body)?;
    let found = match body {
        Body::Process(_) => exec(body).map(|exec| (exec.pid, exec.start_boot_ns, exec.sha256)),
        Body::Network(_) => connection(body)
            .and_then(|connection| connection.owner.as_ref())
            .map(|owner| (owner.pid, owner.start_boot_ns, None)),
        Body::File(event) => {
            event.actor.as_ref().map(|actor| (actor.pid, actor.start_boot_ns, None))
        }
        Body::Finding(finding) => {
            finding.actor.as_ref().map(|actor| (actor.pid, actor.start_boot_ns, None))
        }
        Body::Log(_)
        | Body::Disk(_)
        | Body::Health(_)
        | Body::Gap(_)
        | Body::Receipt(_)
        | Body::Lifecycle(_)
        | Body::Dns(_)
        | Body::Authentication(_)
        | Body::Account(_)
        | Body::Inventory(_)
        | Body::Device(_)
        | Body::Notice(_)
        | Body::WayOut(_)
        | Body::Response(_) => None,
    };
    let (pid, start_boot_ns, sha256) = found.ok_or("the event names no process")?;
    let unknown = || format!("it is not known when process {pid} was started");
    let start_boot_ns = start_boot_ns.ok_or_else(unknown)?;
    Ok(ProcessTarget { pid, start_boot_ns, sha256 })
}

/// The content of the program that was started.
pub(super) fn program(body: &Body) -> Result<Hash, String> {
    let sha256 = exec(body).and_then(|exec| exec.sha256);
    sha256.ok_or_else(|| "the content of the program is not known".to_owned())
}

/// The file that an event is about, by place and content: another file in its place is left alone.
pub(super) fn file_to_take(body: &Body) -> Result<Quarantine, String> {
    let (path, sha256) = match body {
        Body::File(event) => {
            (Some(&event.path), event.after.as_ref().and_then(|after| after.sha256))
        }
        Body::Process(_) => {
            let exec = exec(body).ok_or("the event names no file")?;
            (exec.image_resolved.as_ref().or(exec.image.as_ref()), exec.sha256)
        }
        Body::Log(_)
        | Body::Disk(_)
        | Body::Health(_)
        | Body::Gap(_)
        | Body::Receipt(_)
        | Body::Lifecycle(_)
        | Body::Network(_)
        | Body::Dns(_)
        | Body::Authentication(_)
        | Body::Account(_)
        | Body::Inventory(_)
        | Body::Device(_)
        | Body::Finding(_)
        | Body::Notice(_)
        | Body::WayOut(_)
        | Body::Response(_) => (None, None),
    };
    let absolute = |path: &&Text| path.as_bytes().first() == Some(&b'/');
    let path = path.filter(absolute).ok_or("the event names no file by its whole path")?.clone();
    let sha256 = Some(sha256.ok_or("the content of the file is not known")?);
    Ok(Quarantine { path, sha256 })
}

/// Refuses what somebody elsewhere can bring about at will: whoever may connect to a port here
/// could otherwise end the service behind it, or cut this endpoint off.
pub(super) fn not_begun_by_others(body: &Body) -> Result<(), String> {
    let Body::Network(_) = body else { return Ok(()) };
    match connection(body).and_then(|connection| connection.direction) {
        Some(Direction::Outbound) => Ok(()),
        Some(Direction::Inbound) => Err("the connection was begun by the other side".to_owned()),
        None => Err("it is not known who began the connection".to_owned()),
    }
}

/// The address on the other side.
pub(super) fn peer(body: &Body) -> Result<IpAddr, String> {
    if let Some(connection) = connection(body) {
        return Ok(connection.remote.ip.to_canonical());
    }
    let from = login(body).and_then(|login| login.from.as_ref());
    let from = from.ok_or("the event names no address")?;
    let parsed = from.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let parsed = parsed.ok_or_else(|| format!("'{}' is no address", cut(&from.to_lossy(), 64)))?;
    Ok(parsed.to_canonical())
}

/// The event in one sentence.
pub(super) fn sentence(body: &Body) -> Text {
    let text = match body {
        Body::Process(_) => exec(body).map_or_else(
            || "a process".to_owned(),
            |exec| format!("process {} was started from {}", exec.pid, path(exec.image.as_ref())),
        ),
        Body::Finding(finding) => format!("finding {}: {}", finding.rule, finding.title),
        Body::Network(_) => connection(body).map_or_else(
            || "a listener".to_owned(),
            |connection| {
                let owner = connection.owner.as_ref();
                let by = owner.map(|owner| format!(" of process {}", owner.pid));
                let (ip, port) = (connection.remote.ip, connection.remote.port);
                format!("a connection{} with {ip} port {port}", by.unwrap_or_default())
            },
        ),
        Body::File(event) => format!("file {} changed", event.path.to_lossy()),
        Body::Device(_) => device(body).map_or_else(
            || "a device went".to_owned(),
            |device| {
                let (kind, vendor) = (device_kind(device.kind), path(device.vendor.as_ref()));
                let (model, serial) = (path(device.model.as_ref()), path(device.serial.as_ref()));
                format!("a device was attached: {kind} {vendor} {model}, serial {serial}")
            },
        ),
        Body::Log(line) => format!("{}: {}", line.path.to_lossy(), line.line.to_lossy()),
        Body::Authentication(login) => {
            let who = path(login.user.as_ref());
            format!(
                "{} says that {who} logs in from {}",
                login.service.to_lossy(),
                path(login.from.as_ref())
            )
        }
        Body::Disk(_)
        | Body::Health(_)
        | Body::Gap(_)
        | Body::Receipt(_)
        | Body::Lifecycle(_)
        | Body::Dns(_)
        | Body::Account(_)
        | Body::Inventory(_)
        | Body::Notice(_)
        | Body::WayOut(_)
        | Body::Response(_) => body.class().name().to_owned(),
    };
    Text::from(cut(&text, BECAUSE_BYTES_MAX))
}

fn path(text: Option<&Text>) -> String {
    text.map_or_else(|| "(unknown)".to_owned(), |text| text.to_lossy().into_owned())
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

fn bytes(text: &Text) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn number(number: u32) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn exec(body: &Body) -> Option<&Exec> {
    if let Body::Process(ProcessEvent::Exec(exec)) = body { Some(exec) } else { None }
}

fn file(body: &Body) -> Option<&FileEvent> {
    if let Body::File(event) = body { Some(event) } else { None }
}

/// One that came while the agent looked.
fn device(body: &Body) -> Option<&Device> {
    if let Body::Device(DeviceEvent::Attached(device)) = body { Some(device) } else { None }
}

fn login(body: &Body) -> Option<&Authentication> {
    if let Body::Authentication(login) = body { Some(login) } else { None }
}

/// One that begins, goes on or was tried: what has ended needs no answer.
fn connection(body: &Body) -> Option<&Connection> {
    let Body::Network(event) = body else { return None };
    match &**event {
        NetworkEvent::Opened(opened) => Some(&opened.connection),
        NetworkEvent::Traffic(traffic) => Some(&traffic.connection),
        NetworkEvent::Failed(tried) => Some(&tried.connection),
        NetworkEvent::Closed(_) | NetworkEvent::Listening(_) | NetworkEvent::ListeningEnded(_) => {
            None
        }
    }
}

fn local_port(body: &Body) -> Option<u16> {
    let Body::Network(event) = body else { return None };
    if let NetworkEvent::Listening(listener) = &**event {
        return Some(listener.local.port);
    }
    connection(body).map(|connection| connection.local.port)
}
