//! The signing page's core against the protocol's own samples: `node --test collector/console/signer`.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

import { plain } from "./bytes.js";
import { decode } from "./cbor.js";
import { readCommand } from "./command.js";
import { inWords } from "./words.js";

const samples = new URL("../../../proto/samples/", import.meta.url);
const word = (name) => inWords(readCommand(payload(name)));

/** The content of a COSE_Sign message (its headers hold maps, which no command does). */
function payload(name) {
  const message = readFileSync(new URL(name, samples));
  const start = message.indexOf(Buffer.from("a0", "hex")) + 1;
  const [head, low] = [message[start], message[start + 1]];
  assert.ok(head === 0x58 || head === 0x59, "a payload of one or two bytes of length");
  const size = head === 0x58 ? low : message.readUInt16BE(start + 1);
  const from = start + (head === 0x58 ? 2 : 3);
  return new Uint8Array(message.subarray(from, from + size));
}

test("every sample of a command is read whole and has words", () => {
  const names = readdirSync(samples).filter((name) => /^(command|query).*\.cose$/.test(name));
  assert.ok(names.length >= 13, `${names.length} samples`);
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
  const bytes = (text) => Uint8Array.from(Buffer.from(text, "hex"));
  assert.equal(decode(bytes("1818")), 24);
  assert.equal(decode(bytes("1b0020000000000000")), 9007199254740992n);
  assert.equal(decode(bytes("3a0001003f")), -65_600);
  for (const long of ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff"]) {
    assert.throws(() => decode(bytes(long)), /longer than it must be/, long);
  }
  assert.throws(() => decode(bytes("9b00ffffffffffffff")), Error);
  assert.throws(() => decode(bytes("81".repeat(40) + "00")), /too deep/);
});

test("text from strangers cannot change how the rest reads", () => {
  assert.equal(plain("a\u202Eb\u0000c\nd\u200B"), "a\\u{202e}b\\u{0}c\\u{a}d\\u{200b}");
  assert.equal(plain("Grüße, 世界 <b>"), "Grüße, 世界 <b>");
});
