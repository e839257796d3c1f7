// Moments and spans that go on while they are looked at. Hovering shows UTC.

import { useSyncExternalStore } from 'react';

import { span } from '../words/measure';
import { clock, milliseconds, moment, relative, utc } from '../words/time';

const listeners = new Set<() => void>();
let now = Date.now();
let ticking: ReturnType<typeof setInterval> | undefined;

// One clock for the whole page.
function subscribe(listener: () => void) {
  listeners.add(listener);
  ticking ??= setInterval(() => {
    now = Date.now();
    listeners.forEach((told) => told());
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(ticking);
      ticking = undefined;
    }
  };
}

export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** A moment in the reader's zone. */
export function Moment({ at, precise = false }: { at: string; precise?: boolean }) {
  return (
    <time dateTime={at} title={utc(at)} className="moment">
      {precise ? clock(at) : moment(at)}
    </time>
  );
}

/** How long ago, or until when. */
export function Ago({ at }: { at: string | null | undefined }) {
  const current = useNow();
  if (!at) return <span className="faint">never</span>;
  return (
    <time dateTime={at} title={`${moment(at)} — ${utc(at)}`} className="moment">
      {relative(at, current)}
    </time>
  );
}

/** What is left of a lease, counting down from when its answer came. */
export function Left({ secs, since }: { secs: number; since: number }) {
  const left = secs - (useNow() - since) / 1000;
  const tone = left < 900 ? 'bad' : left < 3600 ? 'warn' : 'plain';
  return <span className={`left ${tone}`}>{left > 0 ? span(left) : 'ending now'}</span>;
}

/** How long something lasts already. */
export function Since({ at }: { at: string }) {
  return <span title={utc(at)}>{span((useNow() - milliseconds(at)) / 1000)}</span>;
}
