// Small marks that say how something stands, by shape and word as well as by colour.

import type { ReactNode } from 'react';

import type { Endpoint } from '../api/types';
import { type Tone, stateOf } from '../words/state';

/** A word on a tint. */
export function Badge({ tone, children, title }: { tone: Tone | 'plain'; children: ReactNode; title?: string }) {
  return (
    <span className={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

/** The mark before a state: full, hollow, crossed, so that colour alone tells nothing. */
export function Dot({ tone, shape }: { tone: Tone; shape: string }) {
  return <span aria-hidden className={`dot ${tone} ${shape}`} />;
}

export function StateMark({ endpoint }: { endpoint: Pick<Endpoint, 'state' | 'silence'> }) {
  const state = stateOf(endpoint);
  return (
    <span className={`state ${state.tone}`} title={state.meaning}>
      <Dot tone={state.tone} shape={state.key} />
      {state.word}
    </span>
  );
}
