// The answer to a live query: put together from its parts, and believed only whole, under the key
// that the endpoint is named by, about the SQL that was signed.

import { type Bytes, hex, isSame, sha256, utf8 } from './bytes';
import { type Cbor, decode, Malformed, Real } from './cbor';
import { peek, verify } from './cose';
import { leaf, root } from './merkle';
import { bytes, count, fields, large, list, optional, string, U32_MAX } from './shape';

/** One value of a row; bytes are also texts that are not UTF-8. */
export type Value = null | number | bigint | string | Bytes;

export type Limit = 'rows' | 'bytes' | 'time' | 'memory';

export interface Answer {
  columns: string[];
  rows: Value[][];
  cut: Limit | null;
  error: { sentence: string; offset: number | null } | null;
  tookMs: number;
}

/** What was asked, as it was signed. */
export interface Question {
  /** The command's id, a UUID. */
  command: string;
  sql: string;
  rowsMax: number;
  bytesMax: number;
}

const LIMITS: Limit[] = ['rows', 'bytes', 'time', 'memory'];
const PARTS_MAX = 512;
const PART_BYTES_MAX = 512 << 10;

/** Takes in the parts of one endpoint's answer. */
export class Gather {
  private contents: Bytes[] = [];
  private bytes = 0;

  constructor(
    private readonly endpoint: string,
    private readonly question: Question,
  ) {}

  /** How many bytes of rows have come. */
  get received(): number {
    return this.bytes;
  }

  /** Takes the next part; the whole answer with the last one. Throws with a sentence. */
  async take(part: Bytes): Promise<Answer | null> {
    const [command, index, content, last] = fields(decode(part), 3, 1);
    const isOurs = hex(bytes(command, 16)) === this.question.command.replaceAll('-', '');
    if (!isOurs || count(index, U32_MAX) !== this.contents.length) {
      throw new Malformed('a part of the answer is missing, doubled, or of another answer');
    }
    const rows = bytes(content);
    if (last !== undefined) {
      if (rows.length > 0) throw new Malformed('the last part of an answer carries rows beside its summary');
      return this.whole(bytes(fields(last, 1)[0]));
    }
    this.bytes += rows.length;
    if (rows.length > PART_BYTES_MAX || this.bytes > this.question.bytesMax || this.contents.length >= PARTS_MAX) {
      throw new Malformed('the answer is longer than was asked for');
    }
    this.contents.push(rows);
    return null;
  }

  private async whole(signed: Bytes): Promise<Answer> {
    const summary = await this.summary(signed);
    const about = (what: string) => new Malformed(`the signed summary is about ${what}`);
    if (summary.command !== this.question.command.replaceAll('-', '')) throw about('another command');
    if (!isSame(summary.sqlHash, await sha256(utf8(this.question.sql)))) throw about('other SQL than was asked');
    const others = new Malformed('the rows are not those that the endpoint signed');
    const tree = await root(await Promise.all(this.contents.map(leaf)));
    if (!isSame(tree, summary.root) || summary.parts !== this.contents.length) throw others;
    const rows = this.contents.flatMap((content) => list(decode(content)).map((row) => list(row).map(value)));
    const isWide = rows.every((row) => row.length === summary.columns.length);
    if (BigInt(rows.length) !== summary.rows || !isWide) throw others;
    if (rows.length > this.question.rowsMax) throw new Malformed('the answer is longer than was asked for');
    const { columns, cut, error, tookMs } = summary;
    return { columns, rows, cut, error, tookMs };
  }

  private async summary(signed: Bytes) {
    const claimed = read(peek('rows', signed));
    const isOwn = hex(claimed.endpoint) === this.endpoint && hex(await sha256(claimed.key)) === this.endpoint;
    if (!isOwn) throw new Malformed("the answer's signed summary: it is not the endpoint's own");
    try {
      return read(await verify('rows', signed, claimed.key));
    } catch (error) {
      throw new Malformed(`the answer's signed summary: ${error instanceof Malformed ? error.message : 'it cannot be read'}`);
    }
  }
}

function read(payload: Cbor) {
  const told = fields(payload, 13);
  const [endpoint, key, command, commandHash, sqlHash, columns, rows, parts, tree, cut, error, time, took] = told;
  bytes(commandHash, 32);
  large(time);
  return {
    endpoint: bytes(endpoint, 32),
    key: bytes(key, 32),
    command: hex(bytes(command, 16)),
    sqlHash: bytes(sqlHash, 32),
    columns: list(columns).map(string),
    rows: large(rows),
    parts: count(parts, U32_MAX),
    root: bytes(tree, 32),
    cut: optional(cut, (one) => LIMITS[count(one, LIMITS.length - 1)] ?? 'rows'),
    error: optional(error, (one) => {
      const [sentence, offset] = fields(one, 1, 1);
      return { sentence: string(sentence), offset: optional(offset, (at) => count(at)) };
    }),
    tookMs: Number(large(took)),
  };
}

function value(of: Cbor): Value {
  if (of instanceof Real) return of.value;
  if (Array.isArray(of) || typeof of === 'boolean' || typeof of === 'symbol') throw new Malformed('a value is none that SQLite has');
  return of;
}
