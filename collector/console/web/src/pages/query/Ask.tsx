// Who is asked, what it may cost, why, and the press that has it signed. A query reads and changes
// nothing, and is signed all the same: an endpoint tells nobody what it is who may not know.

import { PenLine, Play } from 'lucide-react';
import { Button } from 'react-aria-components';

import { TARGETS_MAX } from '../../acting/draft';
import type { Step } from '../../acting/signer';
import { Command } from '../../parts/Copy';
import { type Chosen, Pick } from '../../parts/Pick';
import { Refusal } from '../../parts/Refusal';
import { many } from '../../words/measure';
import { Limits } from './Limits';
import type { Ask as Asks, Question } from './useAsk';

interface Props {
  client: string;
  question: Question;
  change: (over: Partial<Question>) => void;
  chosen: Chosen[];
  choose: (chosen: Chosen[]) => void;
  asks: Asks;
}

const STEPS: Record<Step, string> = {
  opening: 'Opening the signing page …',
  silent: 'The signing page does not answer. Is `cordon signer` running on this machine?',
  asked: 'Read it in the other window, and sign with your passkey.',
  bringing: 'Signed. Bringing it to the endpoints …',
};

export function Ask({ client, question, change, chosen, choose, asks }: Props) {
  const { ask, live, silent, hindrance, hasNoPasskey, step, error } = asks;
  return (
    <div className="ask">
      <Pick client={client} chosen={chosen} change={choose} most={TARGETS_MAX} none="No endpoint is chosen yet." liveFirst />
      {silent.length > 0 ? (
        <p className="warn-words">
          {many(silent.length, 'endpoint')} {silent.length === 1 ? 'is' : 'are'} not connected and will not be asked: a query cannot wait.
        </p>
      ) : null}
      <div className="ask-row">
        <Limits limits={question.limits} change={(limits) => change({ limits })} />
        <label className="reason">
          <span className="reason-label">Why</span>
          <input value={question.reason} onChange={(event) => change({ reason: event.target.value })} maxLength={1000} title="Everybody sees it, and the endpoint keeps it" />
        </label>
        <Button className="button primary" isDisabled={hindrance !== null} isPending={step !== null} onPress={() => ask()}>
          <Play size={14} aria-hidden /> {live.length > 1 ? `Sign and ask ${live.length}` : 'Sign and ask'}
        </Button>
      </div>
      <p className="ask-words" role="status">
        {step ? (
          <>
            <PenLine size={14} aria-hidden /> {STEPS[step]}
          </>
        ) : (
          (hindrance ?? (
            <>
              <kbd>Ctrl</kbd> <kbd>Enter</kbd> asks too. Your passkey signs at the signing page; each endpoint checks that before it answers.
            </>
          ))
        )}
      </p>
      <Refusal error={error} />
      {hasNoPasskey ? (
        <Command
          text={`cordon query ${live.map((one) => one.id.slice(0, 12)).join(',') || 'ENDPOINT'} ${quoted(question.sql)}`}
          why="Without a passkey in the roster, ask with the terminal program, which signs with your key file:"
        />
      ) : null}
    </div>
  );
}

/** A text as one word of a shell. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
