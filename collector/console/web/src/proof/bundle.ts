// A bundle of evidence, verified in the browser: another implementation of what `cordon verify` does,
// written from PROTOCOL.md, and in its words. Trusts nothing in the bundle.

import { type Bytes, isSame, isZero, sha256, short } from './bytes';
import { type Batch, type Header, LANES, openBatch } from './batch';
import { type Cbor, decode, Malformed } from './cbor';
import { type Gap, gapOf, judge, type Place } from './chain';
import { verify } from './cose';
import { bytes, fields, large, list, string } from './shape';

const MAGIC = 'cordon-evidence-1';

/** One thing that was checked. */
export interface Statement {
  holds: boolean;
  sentence: string;
}

export interface Report {
  client: string;
  statements: Statement[];
  /** Events whose signature and place were verified. */
  events: number;
  holds: boolean;
}

interface Evidence {
  endpoint: Bytes;
  key: Bytes;
  batches: [Bytes, Bytes][];
}

interface Bundle {
  client: string;
  rosters: Bytes[];
  endpoints: Evidence[];
}

const CLIENT = /^[a-z0-9._-]{1,64}$/;

/** Reads a file; nothing is verified here. */
export function readBundle(file: Bytes): Bundle {
  let parts;
  try {
    parts = fields(decode(file), 5);
  } catch (error) {
    throw new Malformed(`the file is no bundle of evidence: ${error instanceof Malformed ? error.message : 'it cannot be read'}`);
  }
  if (parts[0] !== MAGIC) throw new Malformed('the file is not an evidence bundle of a known version');
  try {
    const client = string(parts[1]);
    if (!CLIENT.test(client)) throw new Malformed('the client has no name that a client can have');
    large(parts[2]);
    const rosters = list(parts[3]).map((one) => bytes(fields(one, 1)[0]));
    return { client, rosters, endpoints: list(parts[4]).map(readEvidence) };
  } catch (error) {
    throw new Malformed(`the file is no bundle of evidence: ${error instanceof Malformed ? error.message : 'it cannot be read'}`);
  }
}

function readEvidence(value: Cbor): Evidence {
  const [endpoint, key, name, batches] = fields(value, 4);
  string(name);
  const read = (one: Cbor): [Bytes, Bytes] => {
    const [header, events] = fields(one, 2);
    return [bytes(header), bytes(events)];
  };
  return { endpoint: bytes(endpoint, 32), key: bytes(key, 32), batches: list(batches).map(read) };
}

/** Checks a bundle. `authority` is the public key that rosters are held against; without it they are
    not vouched for. `progress` hears how many batches of how many were checked. */
export async function verifyBundle(file: Bytes, authority: Bytes | null, progress?: (done: number, all: number) => void): Promise<Report> {
  const bundle = readBundle(file);
  const statements: Statement[] = [];
  const all = bundle.endpoints.reduce((sum, one) => sum + one.batches.length, 0);
  let [done, events] = [0, 0];
  for (const roster of bundle.rosters) statements.push(await checkRoster(bundle.client, roster, authority));
  for (const endpoint of bundle.endpoints) {
    const checked = await checkEndpoint(endpoint, () => progress?.((done += 1), all));
    statements.push(...checked.statements);
    events += checked.events;
  }
  if (bundle.endpoints.length === 0) {
    statements.push({ holds: false, sentence: 'the bundle holds no endpoint, so it proves nothing' });
  }
  return { client: bundle.client, statements, events, holds: statements.every((one) => one.holds) };
}

async function checkRoster(client: string, roster: Bytes, authority: Bytes | null): Promise<Statement> {
  if (!authority) return { holds: true, sentence: 'roster: not checked, because no authority key was given' };
  try {
    const read = await verify('roster', roster, authority);
    const [whose, version] = Array.isArray(read) ? read : [];
    if (string(whose) !== client) return { holds: false, sentence: `a roster in the bundle is client ${string(whose)}'s` };
    return { holds: true, sentence: `roster ${large(version)} of client ${client}: signed by the authority` };
  } catch {
    return { holds: false, sentence: 'a roster is not signed by the authority given' };
  }
}

interface Checked {
  statements: Statement[];
  events: number;
}

async function checkEndpoint(evidence: Evidence, step: () => void): Promise<Checked> {
  const name = short(evidence.endpoint);
  const fails = (sentence: string): Checked => ({ statements: [{ holds: false, sentence: `endpoint ${name}${sentence}` }], events: 0 });
  if (!isSame(await sha256(evidence.key), evidence.endpoint)) return fails(': the key is not the one it is named by');
  const statements = [{ holds: true, sentence: `endpoint ${name}: its id is the hash of the key in the bundle` }];
  const opened: Batch[] = [];
  for (const [index, [header, events]] of evidence.batches.entries()) {
    try {
      const batch = await openBatch(header, events, evidence.key);
      if (!isSame(batch.header.endpoint, evidence.endpoint)) {
        return also(statements, fails(`: batch ${index} is endpoint ${short(batch.header.endpoint)}'s`));
      }
      opened.push(batch);
    } catch (error) {
      return also(statements, fails(`: batch ${index}: ${error instanceof Malformed ? error.message : 'cannot be read'}`));
    }
    step();
  }
  const control = opened.filter((batch) => batch.header.lane === 0);
  const gaps = control.flatMap((batch) => batch.events.map(gapOf)).filter((gap) => gap !== null);
  const lanes = LANES.map((_, lane) => checkLane(name, lane, opened.filter((batch) => batch.header.lane === lane), gaps));
  return lanes.reduce((sum, lane) => ({ statements: [...sum.statements, ...lane.statements], events: sum.events + lane.events }), { statements, events: 0 });
}

const also = (statements: Statement[], checked: Checked): Checked => ({ ...checked, statements: [...statements, ...checked.statements] });

const place = (header: Header, head: Bytes): Place => ({ epoch: header.epoch, last: header.last, head });

function checkLane(name: string, lane: number, batches: Batch[], gaps: Gap[]): Checked {
  const who = `endpoint ${name}, ${LANES[lane] ?? ''}`;
  const [first, ...rest] = batches;
  if (!first) return { statements: [{ holds: true, sentence: `${who}: no batch in the bundle` }], events: 0 };
  let at = place(first.header, first.hash);
  let [events, jumps] = [first.header.count, 0];
  for (const { header, hash } of rest) {
    const verdict = judge(at, header, gaps);
    if (!verdict.fits) {
      const sentence = `${who}: the chain breaks at event ${header.first} of epoch ${header.epoch}: ${verdict.why}`;
      return { statements: [{ holds: false, sentence }], events: 0 };
    }
    if (verdict.afterGap) jumps += 1;
    at = place(header, hash);
    events += header.count;
  }
  const isWhole = first.header.first === 1n && isZero(first.header.previous);
  const begin = isWhole ? 'from the beginning of its epoch' : `from event ${first.header.first} of epoch ${first.header.epoch}`;
  const after = jumps === 0 ? '' : `, ${jumps} signed gap(s)`;
  const sentence =
    `${who}: ${events} events signed and in one chain ${begin}${after}; ` +
    `complete to header ${short(at.head)} (event ${at.last} of epoch ${at.epoch}); unknown after`;
  return { statements: [{ holds: true, sentence }], events };
}
