// An event in one line. What it says came from the endpoint: it is shown as text, escaped where it
// is shown.

import type { EventShown, Json } from '../api/types';
import { bytes, span } from './measure';
import { actionWord } from './state';

type Summary = (event: EventShown) => string;

/** A value inside an event, as a word; empty if there is none. */
export function word(event: unknown, path: string): string {
  const value = path.split('.').reduce<unknown>((at, name) => {
    return typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : undefined;
  }, event);
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

const first = (event: EventShown, paths: string[]) =>
  paths.map((path) => word(event, path)).find((found) => found !== '') ?? '';

const joined = (...words: string[]) => words.filter((one) => one !== '').join(' ');

const SUMMARIES: Record<string, Summary> = {
  process(event) {
    const pid = word(event, 'process.pid');
    if (event.activity_name === 'Terminate') {
      const code = word(event, 'exit_code');
      const signal = word(event, 'exit_signal');
      const how = signal ? ` by signal ${signal}` : code && code !== '0' ? ` with code ${code}` : '';
      const ms = Number(word(event, 'duration'));
      return `${joined('pid', pid)} ended${how}${ms > 0 ? ` after ${ms < 1000 ? `${ms} ms` : span(ms / 1000)}` : ''}`;
    }
    const line = first(event, ['process.cmd_line', 'process.file.path', 'process.name']);
    return line === '' ? `${actionWord(event.activity_name ?? '')} pid ${pid}` : line;
  },
  log: (event) => joined(`${first(event, ['log_file.path', 'log_name', 'unit'])}:`, first(event, ['raw_data', 'message'])),
  disk(event) {
    const path = first(event, ['mount.path', 'device_name', 'disk.device']);
    const total = Number(word(event, 'space.bytes_total'));
    if (total > 0) {
      const free = Number(word(event, 'space.bytes_available'));
      const full = word(event, 'space.full_in_secs');
      const forecast = full === '' ? '' : `, full in ${span(Number(full))}`;
      return `${path} ${Math.round((1 - free / total) * 100)} % of ${bytes(total)} used${forecast}`;
    }
    return joined(event.activity_name ?? '', path, rest(event));
  },
  health: (event) => `${bytes(Number(word(event, 'health.rss_bytes')))} resident, up ${span(Number(word(event, 'health.uptime_secs')))}`,
  gap: (event) => joined('Events dropped:', word(event, 'gap.reason').replaceAll('_', ' '), word(event, 'gap.detail')),
  receipt: (event) =>
    joined(actionWord(word(event, 'receipt.action')), word(event, 'receipt.outcome').replaceAll('_', ' '), detail(word(event, 'receipt.detail'))),
  lifecycle: (event) => joined('Agent', word(event, 'agent.version'), (event.activity_name ?? '').toLowerCase()),
  network(event) {
    const protocol = word(event, 'connection_info.protocol_name');
    const who = first(event, ['actor.process.file.path', 'actor.process.name']);
    return joined(event.activity_name ?? '', protocol, place(event, 'src_endpoint'), arrow(event), place(event, 'dst_endpoint'), who && `by ${who}`);
  },
  dns: (event) => joined(first(event, ['query.hostname', 'query.name']), word(event, 'query.type'), word(event, 'rcode')),
  authentication: (event) =>
    joined(event.activity_name ?? '', word(event, 'status'), first(event, ['user.name', 'user.uid']), place(event, 'src_endpoint') && `from ${place(event, 'src_endpoint')}`, word(event, 'service.name')),
  account: (event) => joined(event.activity_name ?? '', first(event, ['user.name', 'group.name'])),
  file: (event) => joined(event.activity_name ?? '', first(event, ['file.path', 'file.name']), word(event, 'file_result.path') && `→ ${word(event, 'file_result.path')}`),
  inventory(event) {
    const subject = word(event, 'inventory.subject').replaceAll('_', ' ');
    return word(event, 'inventory.is_base') === 'true'
      ? `${actionWord(subject)}: first list, ${word(event, 'inventory.items')} entries`
      : `${actionWord(subject)} changed, ${word(event, 'inventory.items')} entries now`;
  },
  finding: (event) => joined(first(event, ['finding_info.title', 'finding.title', 'finding.rule']), detail(first(event, ['finding_info.desc', 'finding.detail']))),
};

function detail(text: string): string {
  return text === '' ? '' : `— ${text}`;
}

function place(event: EventShown, end: string): string {
  const ip = first(event, [`${end}.ip`, `${end}.hostname`]);
  const port = word(event, `${end}.port`);
  if (ip === '') return '';
  return port === '' ? ip : ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function arrow(event: EventShown): string {
  return place(event, 'src_endpoint') !== '' && place(event, 'dst_endpoint') !== '' ? '→' : '';
}

const COMMON = new Set([
  'class', 'class_uid', 'class_name', 'category_uid', 'activity_id', 'activity_name', 'type_uid',
  'severity_id', 'severity', 'time_dt', 'device', 'metadata', 'redacted',
]);

/** Everything that is not in every event, for what has no words of its own. */
function rest(event: EventShown): string {
  const own = Object.entries(event).filter(([name]) => !COMMON.has(name));
  return own.map(([name, value]) => `${name}=${flat(value as Json)}`).join(' ');
}

function flat(value: Json): string {
  if (typeof value === 'string') return value;
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, inner]) => `${name}=${flat(inner)}`).join(' ')}}`;
}

/** What happened, in one line. */
export function summary(event: EventShown): string {
  const told = SUMMARIES[event.class]?.(event).trim();
  return told ? told : joined(event.activity_name ?? event.class, rest(event)).slice(0, 1000);
}

/** Every class, as filters name it. */
export const CLASSES = [
  'finding', 'process', 'network', 'dns', 'file', 'authentication', 'account', 'log', 'disk',
  'device', 'inventory', 'receipt', 'lifecycle', 'health', 'gap',
];

/** What a process that was launched is called for short; empty if nothing of its program is known. */
export function programName(launch: EventShown): string {
  const path = word(launch, 'process.file.path') || word(launch, 'process.name') || word(launch, 'process.cmd_line');
  return path.split('/').at(-1) || path;
}

/** Whose event it is, by its `ENDPOINT/LANE/EPOCH/SEQUENCE`. */
export const endpointOf = (uid: string) => uid.split('/')[0] ?? '';
