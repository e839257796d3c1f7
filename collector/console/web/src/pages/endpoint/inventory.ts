// What is on an endpoint, put together from its first list and every change since. Pure.

import type { EventShown } from '../../api/types';
import { milliseconds } from '../../words/time';

export interface Change {
  key: string;
  action: string;
  before: Record<string, string> | null;
  after: Record<string, string> | null;
}

export interface Subject {
  name: string;
  items: Map<string, Record<string, string>>;
  /** The first list is not among the events: the items are not all. */
  isPart: boolean;
  changes: { at: string; change: Change }[];
}

interface Told {
  subject: string;
  is_base: boolean;
  changes: Change[];
}

/** Events come in any order. */
export function inventory(events: EventShown[]): Subject[] {
  const subjects = new Map<string, Subject>();
  const inOrder = [...events].sort((a, b) => order(a) - order(b) || sequence(a) - sequence(b));
  for (const event of inOrder) {
    const told = event['inventory'] as Told | undefined;
    if (!told) continue;
    const subject: Subject = subjects.get(told.subject) ?? { name: told.subject, items: new Map(), isPart: true, changes: [] };
    subjects.set(told.subject, subject);
    if (told.is_base && (event['inventory'] as { part?: number }).part === 0) {
      subject.items.clear();
      subject.isPart = false;
    }
    for (const change of told.changes) {
      if (change.after) subject.items.set(change.key, change.after);
      else subject.items.delete(change.key);
      if (!told.is_base) subject.changes.unshift({ at: event.time_dt, change });
    }
  }
  return [...subjects.values()].sort((a, b) => a.name.localeCompare(b.name));
}

const order = (event: EventShown) => milliseconds(event.time_dt);
const sequence = (event: EventShown) => Number(event.metadata.sequence);
