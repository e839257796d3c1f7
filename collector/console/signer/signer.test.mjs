//! The signing page's core against the protocol's own samples: `node --test collector/console/signer`.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

import { hex, plain, shown } from "./bytes.js";
import { decode, encode } from "./cbor.js";
import { readCommand, writeCommand } from "./command.js";
import { contentOf, signed, toBeSigned } from "./cose.js";
import * as ip from "./ip.js";
import { inWords } from "./words.js";

const bytes = (digits) => Uint8Array.from(Buffer.from(digits, "hex"));
const samples = new URL("../../../proto/samples/", import.meta.url);
const word = (name) => inWords(readCommand(payload(name)));

const payload = (name) => contentOf(new Uint8Array(readFileSync(new URL(name, samples))));

const names = readdirSync(samples).filter((name) => /^(command|query).*\.cose$/.test(name));

test("every sample of a command is written again byte for byte from what was read", () => {
  assert.ok(names.length >= 13, `${names.length} samples`);
  for (const name of names) assert.equal(hex(writeCommand(readCommand(payload(name)))), hex(payload(name)), name);
});

test("every sample of a command is read whole and has words", () => {
  for (const name of names) {
    const { title, facts } = word(name);
    assert.ok(title.length > 3, name);
    assert.ok(facts.every(([, value]) => typeof value === "string" && value.length > 0), name);
    assert.deepEqual(facts.find(([label]) => label === "Client"), ["Client", "acme"]);
  }
});

test("what a command does is said with what it is done to, and for how long", () => {
  const fact = (name, label) => word(name).facts.find(([found]) => found === label)?.[1];
  assert.equal(word("command.cose").title, "Cut off from the network");
  assert.equal(fact("command.cose", "For"), "1d");
  assert.equal(fact("command.cose", "Command"), "0190f7e4-5c00-7000-8000-000000000001");
  assert.match(fact("command.cose", "On"), /^web-01 \(34750f98bd59\)$/);
  assert.equal(fact("command-lock-account.cose", "Account"), "eve");
  assert.equal(fact("command-snapshot.cose", "Before"), "a snapshot, at most 2000 ms");
  assert.equal(
    fact("command-block.cose", "Blocked"),
    "UDP 137-139 from anyone\nto and from 192.0.2.0/24\nUDP 137-139 to *.evil.example",
  );
  assert.deepEqual(word("command-stop-service.cose").warnings, ["Stands until it is undone"]);
});

test("bytes that say anything this page does not know are refused", () => {
  const good = payload("command-block-storage.cose");
  const changed = (at, to) => good.map((byte, index) => (index === at ? to : byte));
  for (let at = 0; at < good.length; at += 1) {
    assert.throws(() => readCommand(good.subarray(0, at)), Error, `cut at ${at}`);
  }
  assert.throws(() => readCommand(Uint8Array.of(...good, 0)), /something follows/);
  assert.throws(() => readCommand(changed(0, 0x9f)), /no stated length/);
  const action = good.findIndex((byte, at) => byte === 0x82 && good[at + 1] === 13);
  assert.throws(() => readCommand(changed(action + 1, 15)), /an action that this page does not know/);
});

test("no change of a byte makes the reader do worse than refuse", () => {
  const good = payload("command-block.cose");
  for (let at = 0; at < good.length; at += 1) {
    for (const bit of [1, 2, 4, 8, 16, 32, 64, 128]) {
      const bad = good.slice();
      bad[at] ^= bit;
      try {
        inWords(readCommand(bad));
      } catch (error) {
        assert.ok(error instanceof Error);
      }
    }
  }
});

test("numbers are read in their shortest form only, and whole", () => {
  assert.equal(decode(bytes("1818")), 24);
  assert.equal(decode(bytes("1b0020000000000000")), 9007199254740992n);
  assert.equal(decode(bytes("3a0001003f")), -65_600);
  for (const text of ["17", "1818", "18ff", "190100", "1a00010000", "1b0020000000000000", "3a0001003f", "1bffffffffffffffff"]) {
    assert.equal(hex(encode(decode(bytes(text)))), text);
  }
  for (const long of ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff"]) {
    assert.throws(() => decode(bytes(long)), /longer than it must be/, long);
  }
  assert.throws(() => decode(bytes("9b00ffffffffffffff")), Error);
  assert.throws(() => decode(bytes("81".repeat(40) + "00")), /too deep/);
});

test("text from strangers cannot change how the rest reads", () => {
  assert.equal(plain("a\u202Eb\u0000c\nd\u200B"), "a\\u{202e}b\\u{0}c\\u{a}d\\u{200b}");
  assert.equal(shown(bytes("2f746d702ffc5c")), "/tmp/\\x{fc}\\");
  assert.equal(plain("Grüße, 世界 <b>"), "Grüße, 世界 <b>");
});

test("what is written in a longer way than it must be is not shown", () => {
  const undo = readCommand(payload("command-undo.cose"));
  const fields = decode(payload("command-undo.cose"));
  assert.equal(hex(encode(fields)), hex(writeCommand(undo)));
  assert.throws(() => readCommand(encode([...fields, null, null])), /in another way/);
});

test("nothing is written that could not be read", () => {
  const good = readCommand(payload("command-block.cose"));
  for (const wrong of [
    { reason: 5 },
    { id: "0190f7e4" },
    { action: { kind: "isolate_all" } },
    { action: { ...good.action, lease_secs: -1 } },
    { action: { ...good.action, rules: [{ peer: { kind: "anyone" }, direction: "up", ports: null, at: null }] } },
    { action: { kind: "set_policy" } },
  ]) {
    assert.throws(() => writeCommand({ ...good, ...wrong }), Error, JSON.stringify(wrong));
  }
});

test("a signature is over the command, its kind and the key, and travels with them", () => {
  const key = new Uint8Array(32).fill(7);
  const [context, body, signer, aad, content] = decode(toBeSigned(Uint8Array.of(1, 2), key));
  assert.deepEqual([context, hex(content), aad.length], ["Signature", "0102", 0]);
  assert.equal(hex(body), `a10372${Buffer.from("cordon/command;v=1").toString("hex")}`);
  assert.equal(hex(signer), `a2013a0001003f045820${"07".repeat(32)}`);
  const message = signed(payload("command.cose"), key, Uint8Array.of(9));
  assert.equal(hex(contentOf(message)), hex(payload("command.cose")));
  assert.deepEqual(decode(message)[3], [[signer, new Map(), Uint8Array.of(9)]]);
  assert.throws(() => contentOf(encode([signer, new Map(), content, []])), /no signed command/);
});

test("an address is the same bytes however it is written", () => {
  for (const [text, digits] of [
    ["192.0.2.7", "c0000207"],
    ["2001:db8::1", "20010db8000000000000000000000001"],
    ["::", "0".repeat(32)],
    ["::ffff:192.0.2.7", "00000000000000000000ffffc0000207"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["FE80::a:0:0:1", "fe80000000000000000a000000000001"],
  ]) {
    assert.equal(hex(ip.fromText(text)), digits, text);
    assert.equal(hex(ip.fromText(ip.toText(bytes(digits)))), digits, text);
  }
  for (const wrong of ["", "1.2.3", "1.2.3.256", "01.2.3.4", "::1::", ":1", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8:9", "g::", "1.2.3.4:5", "1:2:3:4:5:6:7", "1.2.3.4.5", "12345::"]) {
    assert.throws(() => ip.fromText(wrong), /no address/, wrong);
  }
});
