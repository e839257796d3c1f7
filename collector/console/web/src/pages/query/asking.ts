// A question on its way: reads the answers as they come, verifies each, and knows of every endpoint how
// it ended with it. Lives outside React, because an answer can be read once.

import { api, Problem, take } from '../../api/client';
import { type Answer, Gather, type Question } from '../../proof/answer';
import { fromBase64url } from '../../proof/bytes';
import { Malformed } from '../../proof/cbor';
import type { Answered } from './result';
import { type Frame, Frames } from './sse';

export interface Asked {
  id: string;
  host_name: string;
}

export type Ended =
  | { how: 'answered'; answer: Answer }
  /** There is no answer that counts. */
  | { how: 'without'; why: string; isForged: boolean };

export interface Track extends Asked {
  received: number;
  ended: Ended | null;
}

export interface Snapshot {
  tracks: Track[];
  /** Those that answered; the same list until another does. */
  answers: Answered[];
  isOver: boolean;
}

/** Rows that a page holds; more would make the browser slow before anybody could read them. */
const ROWS_HELD_MAX = 500_000;

/** How much longer than the question itself the answer may take on its way. */
const ON_ITS_WAY_MS = 20_000;

/** How often the collector is asked whether an endpoint has refused. */
const ASK_PERIOD_MS = 1_500;

export class Asking {
  private readonly listeners = new Set<() => void>();
  private readonly gathers: Map<string, Gather>;
  private readonly stopping = new AbortController();
  private now: Snapshot;

  constructor(
    readonly question: Question,
    endpoints: Asked[],
    private readonly timeMs: number,
  ) {
    this.gathers = new Map(endpoints.map(({ id }) => [id, new Gather(id, question)]));
    this.now = { tracks: endpoints.map(({ id, host_name }) => ({ id, host_name, received: 0, ended: null })), answers: [], isOver: endpoints.length === 0 };
  }

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = () => this.now;

  /** Ends the wait here; endpoints cannot be called back. */
  stop(why = 'Not waited for any longer.') {
    this.endAll(why);
  }

  /** Reads until every endpoint has answered or will not. */
  async run() {
    const late = setTimeout(() => this.endAll('It did not answer in time.'), this.timeMs + ON_ITS_WAY_MS);
    const looks = setInterval(() => void this.lookForRefusals(), ASK_PERIOD_MS);
    try {
      await this.read();
      this.endAll('The collector ended the answer before it was whole.');
    } catch (error) {
      this.endAll(error instanceof Problem ? error.message : 'The collector cannot be reached any more.');
    } finally {
      clearTimeout(late);
      clearInterval(looks);
    }
  }

  private async read() {
    const answer = await fetch(`/api/v1/commands/${this.question.command}/rows`, {
      headers: { accept: 'text/event-stream' },
      signal: this.stopping.signal,
      credentials: 'same-origin',
    });
    if (!answer.ok || !answer.body) {
      const told = (await answer.json().catch(() => null)) as { detail?: string } | null;
      throw new Problem(answer.status, told?.detail ?? `The collector answered ${answer.status}.`, '');
    }
    const reader = answer.body.getReader();
    const frames = new Frames();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const frame of frames.take(value)) await this.handle(frame);
    }
  }

  private async handle(frame: Frame) {
    let told: { endpoint?: string; part?: string; why?: string };
    try {
      told = JSON.parse(frame.data) as typeof told;
    } catch {
      return;
    }
    // What is about nobody that was asked is nobody's answer.
    const { endpoint = '', part, why } = told;
    const gather = this.gathers.get(endpoint);
    if (!gather || this.now.tracks.find((track) => track.id === endpoint)?.ended) return;
    if (frame.event === 'ended' && why !== undefined) this.end(endpoint, { how: 'without', why: `${why}.`, isForged: false });
    if (frame.event !== 'rows' || part === undefined) return;
    try {
      const answer = await gather.take(fromBase64url(part));
      this.change(endpoint, { received: gather.received, ...(answer ? { ended: this.held(answer) } : {}) });
    } catch (error) {
      const what = error instanceof Malformed ? error.message : 'what the collector handed on cannot be read';
      this.end(endpoint, { how: 'without', why: `NOT VERIFIED, nothing of it is shown: ${what}.`, isForged: true });
    }
  }

  private held(answer: Answer): Ended {
    const held = this.now.answers.reduce((sum, one) => sum + one.answer.rows.length, 0);
    if (held + answer.rows.length <= ROWS_HELD_MAX) return { how: 'answered', answer };
    const why = `It answered with ${answer.rows.length} rows, verified and not kept: this page holds ${ROWS_HELD_MAX} rows at most. Ask for less.`;
    return { how: 'without', why, isForged: false };
  }

  /** Whoever refuses sends no rows but a receipt. */
  private async lookForRefusals() {
    const found = await take(api.GET('/api/v1/commands/{id}', { params: { path: { id: this.question.command } } })).catch(() => null);
    for (const target of found?.targets ?? []) {
      const facts = target.facts as Record<string, { reason?: string; check?: string } | null>;
      const refused = facts['refused'] ?? facts['failed'];
      if (refused) this.end(target.endpoint, { how: 'without', why: `Refused: ${refused.reason ?? refused.check ?? 'the receipt says why'}.`, isForged: false });
    }
  }

  private end(endpoint: string, ended: Ended) {
    this.change(endpoint, { ended });
  }

  private endAll(why: string) {
    for (const track of this.now.tracks) this.end(track.id, { how: 'without', why, isForged: false });
    this.stopping.abort();
  }

  /** The first ending counts. */
  private change(endpoint: string, over: Partial<Track>) {
    const tracks = this.now.tracks.map((track) => (track.id === endpoint && track.ended === null ? { ...track, ...over } : track));
    const isOver = tracks.every((track) => track.ended !== null);
    const answers = over.ended?.how === 'answered' ? answersOf(tracks) : this.now.answers;
    this.now = { tracks, answers, isOver };
    if (isOver) this.stopping.abort();
    this.listeners.forEach((told) => told());
  }
}

function answersOf(tracks: Track[]): Answered[] {
  return tracks.flatMap(({ id, host_name, ended }) => (ended?.how === 'answered' ? [{ endpoint: id, hostName: host_name, answer: ended.answer }] : []));
}
