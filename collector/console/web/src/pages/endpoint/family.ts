// Processes and whose children they are, put together from events. Pure.
//
// A process is told apart by its number and when it began: numbers are used again. What began before
// the events that were looked at is known only as somebody's ancestor.

import { hierarchy, tree } from 'd3-hierarchy';

import type { EventShown } from '../../api/types';
import { programName, word } from '../../words/summary';

export interface Process {
  key: string;
  pid: string;
  /** None for one that began before what was looked at. */
  launch: EventShown | null;
  end: EventShown | null;
  parent: string | null;
}

export type Family = Map<string, Process>;

interface Ancestor {
  pid: number;
  start_boot_ns: string;
}

const keyOf = (pid: string | number, start: string) => `${pid}@${start}`;

export function family(events: EventShown[]): Family {
  const found: Family = new Map();
  const known = (key: string, pid: string): Process => {
    const there = found.get(key);
    if (there) return there;
    const made: Process = { key, pid, launch: null, end: null, parent: null };
    found.set(key, made);
    return made;
  };
  for (const event of events) {
    const pid = word(event, 'process.pid');
    const start = word(event, 'process.start_boot_ns');
    if (pid === '' || start === '') continue;
    if (event.activity_name === 'Terminate') {
      known(keyOf(pid, start), pid).end = event;
      continue;
    }
    if (event.activity_name !== 'Launch') continue;
    const process = known(keyOf(pid, start), pid);
    // A process that runs another program is the same process: the newest program is shown.
    if (!process.launch || process.launch.time_dt < event.time_dt) process.launch = event;
    let child = process;
    for (const ancestor of (event['process'] as { ancestry?: Ancestor[] }).ancestry ?? []) {
      const above = known(keyOf(ancestor.pid, ancestor.start_boot_ns), String(ancestor.pid));
      child.parent = above.key;
      child = above;
    }
  }
  return found;
}

export interface Branch {
  process: Process;
  children: Branch[];
  /** Children that are not drawn. */
  hidden: number;
}

/** Drawn at most, so that the picture can be read. */
const DRAWN_MAX = 120;

/** The line from the oldest ancestor down to a process, and everything below it. */
export function branch(all: Family, key: string): Branch | null {
  const process = all.get(key);
  if (!process) return null;
  const children = new Map<string, Process[]>();
  for (const one of all.values()) {
    if (one.parent) children.set(one.parent, [...(children.get(one.parent) ?? []), one]);
  }
  let drawn = 0;
  const below = (one: Process, depth: number): Branch => {
    drawn += 1;
    const all = (children.get(one.key) ?? []).sort((a, b) => begun(a).localeCompare(begun(b)));
    const shown = depth > 12 ? [] : all.slice(0, Math.max(0, DRAWN_MAX - drawn));
    return { process: one, children: shown.map((child) => below(child, depth + 1)), hidden: all.length - shown.length };
  };
  let top = below(process, 0);
  const passed = new Set([key]);
  for (let at = process.parent; at !== null && !passed.has(at); ) {
    passed.add(at);
    const above = all.get(at);
    if (!above) break;
    const others = (children.get(at)?.length ?? 1) - 1;
    top = { process: above, children: [top], hidden: others };
    at = above.parent;
  }
  return top;
}

export function begun(process: Process): string {
  return process.launch?.time_dt ?? '';
}

/** The name of what it runs: the last part of its program's path. */
export function name(process: Process): string {
  return (process.launch && programName(process.launch)) || `pid ${process.pid}`;
}

export interface Placed {
  branch: Branch;
  x: number;
  y: number;
  parent: { x: number; y: number } | null;
}

export const NODE = { width: 190, height: 44, gapX: 46, gapY: 10 };

/** Where each goes: generations from left to right. */
export function place(top: Branch): { nodes: Placed[]; width: number; height: number } {
  const layout = tree<Branch>()
    .nodeSize([NODE.height + NODE.gapY, NODE.width + NODE.gapX])
    .separation(() => 1);
  const root = layout(hierarchy(top, (one) => one.children));
  const all = root.descendants();
  const least = Math.min(...all.map((node) => node.x));
  const most = Math.max(...all.map((node) => node.x));
  const deepest = Math.max(...all.map((node) => node.y));
  const at = (node: { x: number; y: number }) => ({ x: node.y, y: node.x - least });
  return {
    nodes: all.map((node) => ({ branch: node.data, ...at(node), parent: node.parent ? at(node.parent) : null })),
    width: deepest + NODE.width,
    height: most - least + NODE.height,
  };
}
