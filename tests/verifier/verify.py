#!/usr/bin/env python3
"""Checks an evidence bundle of Cordon: a second implementation, written from proto/PROTOCOL.md.

Uses nothing but Python's standard library and the program `zstd`, and shares no code with Cordon,
so that a mistake in one is not a mistake in both. It checks keys, signatures, Merkle roots, event
numbers and chains (gaps included); it does not look at rosters.

    verify.py BUNDLE        exit 0 if everything holds, 1 if something does not
"""

import hashlib
import subprocess
import sys


class Bad(Exception):
    """Something does not hold."""


# --- CBOR (RFC 8949), definite lengths only ---------------------------------------------------


def read(data, at=0):
    """One item and where it ends."""
    try:
        first = data[at]
    except IndexError:
        raise Bad("the CBOR ends too early") from None
    major, info = first >> 5, first & 31
    at += 1
    if info < 24:
        number = info
    elif info < 28:
        size = 1 << (info - 24)
        number = int.from_bytes(data[at : at + size], "big")
        at += size
    else:
        raise Bad("indefinite lengths are not in deterministic encoding")
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        piece = data[at : at + number]
        if len(piece) != number:
            raise Bad("a string is cut off")
        return (bytes(piece) if major == 2 else piece.decode()), at + number
    if major == 4:
        items = []
        for _ in range(number):
            item, at = read(data, at)
            items.append(item)
        return items, at
    if major == 5:
        pairs = {}
        for _ in range(number):
            key, at = read(data, at)
            pairs[key], at = read(data, at)
        return pairs, at
    if major == 7 and number in (20, 21, 22):
        return {20: False, 21: True, 22: None}[number], at
    raise Bad(f"unexpected CBOR item {first:#x}")


def read_whole(data):
    item, end = read(data)
    if end != len(data):
        raise Bad("bytes after the end")
    return item


def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise Bad("a number is too large")


def byte_string(data):
    return head(2, len(data)) + data


# --- Ed25519 (RFC 8032, section 5.1.7) --------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % P, m * k % P, j * k % P, i * m % P


def multiply(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def point_of(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise Bad("not a point of the curve")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verify_signature(key, signed, signature):
    if len(signature) != 64:
        raise Bad("a signature has the wrong length")
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L:
        raise Bad("a signature is malleable")
    h = int.from_bytes(hashlib.sha512(r + key + signed).digest(), "little") % L
    left, right = multiply(s, BASE), add(point_of(r), multiply(h, point_of(key)))
    same = (left[0] * right[2] - right[0] * left[2]) % P == 0
    if not same or (left[1] * right[2] - right[1] * left[2]) % P:
        raise Bad("a signature does not verify")


# --- What Cordon signs ------------------------------------------------------------------------

CONTENT_TYPE = b"cordon/batch;v=1"
PROTECTED = b"\xa2\x01\x27\x03" + head(3, len(CONTENT_TYPE)) + CONTENT_TYPE


def header_of(cose, key):
    """The verified header of a batch."""
    protected, unprotected, payload, signature = read_whole(cose)
    if protected != PROTECTED or unprotected != {}:
        raise Bad("a header's COSE headers are not those of a batch")
    signed = b"\x84\x6aSignature1" + byte_string(protected) + byte_string(b"") + byte_string(payload)
    verify_signature(key, signed, signature)
    fields = read_whole(payload)
    names = "endpoint lane epoch first count previous root time_ns cause".split()
    header = dict(zip(names, fields + [None] * (len(names) - len(fields))))
    header["last"] = header["first"] + header["count"] - 1
    header["hash"] = hashlib.sha256(cose).digest()
    return header


def merkle(leaves):
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    both = merkle(leaves[:split]) + merkle(leaves[split:])
    return hashlib.sha256(b"\1" + both).digest()


def events_of(frame, header):
    unpacked = subprocess.run(["zstd", "-dcq"], input=frame, capture_output=True, check=False)
    if unpacked.returncode:
        raise Bad("a batch's events cannot be unpacked")
    data, at, events = unpacked.stdout, 0, []
    while at < len(data):
        event, at = read(data, at)
        events.append(event)
    if len(events) != header["count"]:
        raise Bad("a batch holds another number of events than its header says")
    if merkle([hashlib.sha256(b"\0" + event).digest() for event in events]) != header["root"]:
        raise Bad("a batch's events are not the ones its header was signed over")
    read_events = [read_whole(event) for event in events]
    for place, event in enumerate(read_events):
        if event[0] != header["first"] + place:
            raise Bad("an event stands at the wrong place")
    return read_events


GAP_BODY, CONTROL, ZEROS = 4, 0, bytes(32)


def sealed_gaps(events):
    """What signed gaps among these events account for."""
    for event in events:
        number, fields = event[4]
        if number == GAP_BODY and len(fields[0]) > 4 and fields[0][4]:
            yield fields[0][4]


def covered(gaps, header, start):
    """Whether gaps lead from a number to this header without a hole, and to its predecessor."""
    reached = None
    while start < header["first"]:
        fitting = [
            gap
            for gap in gaps
            if gap[0] == header["lane"] and gap[1] == header["epoch"]
            and gap[2] <= start <= gap[3] < header["first"]
        ]
        if not fitting:
            return False
        longest = max(fitting, key=lambda gap: gap[3])
        start, reached = longest[3] + 1, longest[4]
    return reached == header["previous"]


def continues(before, header, gaps):
    begins = header["first"] == 1 and header["previous"] == ZEROS
    if header["epoch"] > before["epoch"]:
        return begins or covered(gaps, header, 1)
    if header["epoch"] < before["epoch"] or header["first"] <= before["last"]:
        return False
    if header["first"] == before["last"] + 1:
        return header["previous"] == before["hash"]
    return covered(gaps, header, before["last"] + 1)


def check_endpoint(endpoint, key, batches):
    if hashlib.sha256(key).digest() != endpoint:
        raise Bad("an endpoint's id is not the hash of its key")
    opened = []
    for cose, frame in batches:
        header = header_of(cose, key)
        if header["endpoint"] != endpoint:
            raise Bad("a batch is another endpoint's")
        opened.append((header, events_of(frame, header)))
    gaps = [
        gap
        for header, events in opened
        if header["lane"] == CONTROL
        for gap in sealed_gaps(events)
    ]
    for lane, name in enumerate(("control", "telemetry")):
        before, events = None, 0
        for header, _ in opened:
            if header["lane"] != lane:
                continue
            if before and not continues(before, header, gaps):
                raise Bad(f"the {name} chain breaks at event {header['first']}")
            before, events = header, events + header["count"]
        if before:
            complete = before["hash"].hex()[:12]
            print(f"{endpoint.hex()[:12]} {name}: {events} events, complete to header {complete}")


def main(path):
    with open(path, "rb") as file:
        magic, _client, _made_ns, _rosters, endpoints = read_whole(file.read())
    if magic != "cordon-evidence-1" or not endpoints:
        raise Bad("not an evidence bundle, or an empty one")
    for endpoint, key, _host_name, batches in endpoints:
        check_endpoint(endpoint, key, batches)


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    try:
        main(sys.argv[1])
    except (Bad, ValueError, TypeError, IndexError, KeyError, UnicodeDecodeError) as wrong:
        print(f"does not hold: {wrong}")
        sys.exit(1)
    print("everything holds")
