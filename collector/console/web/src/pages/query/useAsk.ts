// From a question to its answers: who may ask, what hinders it, the signature, and the wait.

import { useState } from 'react';

import { signAndBring } from '../../acting/bring';
import { type Desk, need, useDesk } from '../../acting/desk';
import type { Step } from '../../acting/signer';
import type { Chosen } from '../../parts/Pick';
import { many } from '../../words/measure';
import { Asking } from './asking';
import type { Limited } from './Limits';
import { LIMITS } from './schema';

/** An endpoint's nonce is published with its health, twice a minute; an older one is no live endpoint's. */
const AGE_MAX_SECS = 300;

export interface Question {
  sql: string;
  limits: Limited;
  reason: string;
}

export interface Ask {
  /** Asks; with the text as it stands in the editor at this moment, where that knows more. */
  ask: (sql?: string) => void;
  /** The endpoints that are asked, and those that would not answer. */
  live: Chosen[];
  silent: Chosen[];
  /** Why it cannot be asked as it stands. */
  hindrance: string | null;
  /** The roster names no passkey of the person's. */
  hasNoPasskey: boolean;
  step: Step | null;
  error: Error | null;
}

export function useAsk(client: string, question: Question, chosen: Chosen[], asked: (asking: Asking) => void): Ask {
  const { data: desk, error: deskError } = useDesk(client);
  const [step, setStep] = useState<Step | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const live = chosen.filter((one) => one.state === 'online');
  const silent = chosen.filter((one) => one.state !== 'online');
  const hindrance = desk ? why(desk, question, live.length) : (deskError?.message ?? 'Looking who may ask …');
  const ask = async (sql: string) => {
    const { limits, reason } = question;
    if (!desk || why(desk, { ...question, sql }, live.length) || step) return;
    setError(null);
    setStep('opening');
    const action = { kind: 'query' as const, sql, rows_max: limits.rows, bytes_max: limits.bytes, time_ms_max: limits.timeMs };
    try {
      const command = await signAndBring({ client, endpoints: live, action, reason, ageMaxSecs: AGE_MAX_SECS }, desk, { step: setStep });
      const asking = new Asking({ command: command.id, sql, rowsMax: limits.rows, bytesMax: limits.bytes }, live, limits.timeMs);
      asked(asking);
      void asking.run();
    } catch (problem) {
      setError(problem instanceof Error ? problem : new Error('It could not be asked.'));
    } finally {
      setStep(null);
    }
  };
  return { ask: (sql = question.sql) => void ask(sql), live, silent, hindrance, hasNoPasskey: desk?.pages.length === 0, step, error };
}

function why(desk: Desk, { sql, reason }: Question, live: number): string | null {
  if (desk.pages.length === 0) return 'The roster names no passkey of yours, so this page cannot have it signed.';
  if (sql.trim() === '') return 'Write a SELECT, or take one of the examples.';
  if (new TextEncoder().encode(sql).length > LIMITS.sqlBytes) return 'The text is longer than the 16 KiB that a query may have.';
  if (live === 0) return 'Choose an endpoint that is online.';
  if (reason.trim() === '') return 'Say why: everybody sees it, and the endpoint keeps it.';
  const needed = need(desk, 'query', live);
  switch (needed.says) {
    case 'role':
      return 'Your role may not ask endpoints; the roster says who may.';
    case 'targets':
      return `The roster lets one query go to ${many(needed.most, 'endpoint')} at most.`;
    case 'persons':
      return needed.count > 1 ? `The roster wants ${needed.count} signatures for so many endpoints, and a query cannot wait for another. Choose fewer.` : null;
  }
}
