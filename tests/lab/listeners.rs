//! Who answers in the lab: TCP that echoes, UDP that notes what it hears and answers.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::Builder;

use anyhow::{Context, Result};
use cordon_packaging::lab::Namespace;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, socket};

use crate::place::Place;
use crate::witness::Witness;

const ANSWER: &[u8] = b"heard";

/// Takes connections at a port of both families, until this program ends.
pub(crate) fn tcp(space: &Namespace, port: u16) -> Result<()> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = TcpListener::from(space.listen(any)?);
    let body = move || {
        for stream in listener.incoming().flatten() {
            // A lab that is out of threads shows: whoever dialled gets no answer.
            drop(Builder::new().spawn(move || echo(stream)));
        }
    };
    Builder::new().name(format!("echo-{port}")).spawn(body)?;
    Ok(())
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Notes what arrives at an address and port, and answers it, until this program ends.
pub(crate) fn udp(
    witness: &Witness,
    place: Place,
    space: &Namespace,
    (address, port): (IpAddr, u16),
) -> Result<()> {
    let at = SocketAddr::new(address, port);
    let socket = space.run(|| shared(at))?.with_context(|| format!("listening at {at}"))?;
    let witness = witness.clone();
    let body = move || {
        let mut buffer = [0; 2048];
        loop {
            // What the other end refused is told here, and is no reason to stop.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            witness.heard(place, &buffer[..length]);
            // An answer is not answered, or two listeners would never be quiet again.
            if &buffer[..length] != ANSWER {
                drop(socket.send_to(ANSWER, from));
            }
        }
    };
    Builder::new().name(format!("udp-{port}")).spawn(body)?;
    Ok(())
}

/// Bound to an address that others may be bound to as well, as a DHCP client is.
pub(crate) fn shared(at: SocketAddr) -> std::io::Result<UdpSocket> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::DGRAM, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &at)?;
    Ok(UdpSocket::from(socket))
}
