// The five facts of a command at one endpoint, shown apart: what was asked for is not what was done,
// and what was done is not what was proved.

import { Check, CircleDashed, X } from 'lucide-react';

import type { Command, Fact, Target } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Moment } from '../../parts/Time';
import { lasts } from '../../words/state';

const FACTS = ['requested', 'authorised', 'delivered', 'applied', 'proved'] as const;

/** Facts that end the track before `proved`, and how each is called. */
const ENDS: [string, string][] = [
  ['refused', 'Refused by the endpoint'],
  ['failed', 'Failed on the endpoint'],
  ['lapsed', 'Lapsed before the endpoint took it'],
];

/** What may be added later to one that was applied. */
const AFTERWARDS: [string, string, 'warn' | 'bad' | 'plain'][] = [
  ['partial', 'Done in part', 'warn'],
  ['drifted', 'Found changed on the endpoint', 'warn'],
  ['ended', 'Ended', 'plain'],
];

function factsOf(target: Target): Record<string, Fact | null> {
  return target.facts;
}

/** What a fact says besides when, in words. */
function detail(fact: Fact): string {
  const { by, check, reason, cause, found, reapplied, times, done, missing } = fact;
  const who = Array.isArray(by) ? by.join(', ') : (by ?? '');
  const said = [check, reason, cause, found].filter((one): one is string => typeof one === 'string');
  if (typeof reapplied === 'boolean') said.push(reapplied ? 'put back' : 'could not be put back');
  if (typeof times === 'number' && times > 1) said.push(`${times} times`);
  if (Array.isArray(done)) said.push(`done: ${done.join(', ') || 'nothing'}`);
  if (Array.isArray(missing)) said.push(`not done: ${missing.join(', ') || 'nothing'}`);
  return [who, ...said.map((one) => one.replaceAll('_', ' '))].filter(Boolean).join('; ');
}

export function Track({ target, command }: { target: Target; command: Pick<Command, 'waits_for'> }) {
  const facts = factsOf(target);
  const ended = ENDS.find(([name]) => facts[name]);
  const next = FACTS.find((name) => !facts[name]);
  return (
    <div className="track-frame">
      <ol className="track" aria-label="The five facts">
        {FACTS.map((name) => {
          const fact = facts[name];
          const state = fact ? 'done' : name === next ? (ended ? 'ended' : 'next') : 'open';
          return (
            <li key={name} className={`step ${state} ${name}`}>
              <span className="step-mark" aria-hidden>
                {fact ? <Check size={13} strokeWidth={3} /> : state === 'ended' ? <X size={13} strokeWidth={3} /> : <CircleDashed size={13} />}
              </span>
              <span className="step-name">{name}</span>
              <span className="step-at">
                {fact?.at ? <Moment at={fact.at} precise /> : state === 'next' ? (name === 'authorised' && command.waits_for ? command.waits_for : 'waiting') : ''}
              </span>
              {fact && detail(fact) ? (
                <span className="step-detail">
                  <Foreign text={detail(fact)} max={200} />
                </span>
              ) : null}
            </li>
          );
        })}
      </ol>
      {[...ENDS.map(([name, words]) => [name, words, 'bad'] as const), ...AFTERWARDS].map(([name, words, tone]) => {
        const fact = facts[name];
        return fact ? (
          <p key={name} className="track-end">
            <Badge tone={tone}>{words}</Badge> {fact.at ? <Moment at={fact.at} /> : null} <Foreign text={detail(fact)} max={400} />
          </p>
        ) : null;
      })}
    </div>
  );
}

/** How far a command came at one endpoint, in a word. What leaves nothing standing cannot end later. */
export function furthest(target: Target, action: string): { word: string; tone: 'good' | 'warn' | 'bad' | 'plain' } {
  const facts = factsOf(target);
  const ended = ENDS.find(([name]) => facts[name]);
  if (ended) return { word: ended[0], tone: 'bad' };
  if (facts['ended'] && (lasts(action) || !facts['proved'])) return { word: 'ended', tone: 'plain' };
  if (facts['drifted'] && facts['drifted']['reapplied'] === false) return { word: 'drifted', tone: 'bad' };
  const reached = FACTS.filter((name) => facts[name]).at(-1) ?? 'requested';
  return { word: reached, tone: reached === 'proved' ? 'good' : reached === 'applied' ? 'warn' : 'plain' };
}
