// A command that was signed and handed over, followed live: the five facts at each endpoint, the
// receipts that show them, and the way back.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { CircleCheck, CircleX, Hourglass, LoaderCircle } from 'lucide-react';
import { Button } from 'react-aria-components';

import { command as one } from '../api/queries';
import type { Command, Target } from '../api/types';
import { CopyButton } from '../parts/Copy';
import { Foreign } from '../parts/Foreign';
import { Badge } from '../parts/Mark';
import { Facts } from '../pages/commands/Facts';
import { furthest } from '../pages/commands/Track';
import { many } from '../words/measure';
import type { Act } from './Acting';
import { lasts, takingBack } from './deeds';

/** Asked so often beside what is told live. */
const AGAIN_MS = 1500;

/** Endpoints whose facts are shown apart; of more there is one line each. */
const TRACKS_MAX = 4;

const END = new Set(['proved', 'refused', 'failed', 'lapsed', 'ended', 'drifted']);

/** Whether nothing more comes by itself. */
const isOver = (command: Command) => command.targets.every((target) => END.has(furthest(target).word));

export function Following({ made, act, close }: { made: Command; act: Act; close: () => void }) {
  const asked = useQuery({
    ...one(made.client, made.id),
    initialData: made,
    refetchInterval: ({ state }) => (state.data && isOver(state.data) ? false : AGAIN_MS),
  });
  const command = asked.data;
  const { client, id, action, targets } = command;
  const back = lasts(action) && !command.waits_for ? takingBack(action) : null;
  const undo = () => {
    if (!back) return;
    const endpoints = targets.map(({ endpoint, host_name }) => ({ id: endpoint, host_name }));
    act({ deed: back.name, client, endpoints, subject: { undo: { command: id, action } } });
  };
  return (
    <div className="following">
      <Head command={command} />
      {targets.length > TRACKS_MAX ? (
        <ul className="following-list">
          {targets.map((target) => (
            <Row key={target.endpoint} target={target} />
          ))}
        </ul>
      ) : (
        targets.map((target) => (
          <section key={target.endpoint} className="following-one" aria-label="An endpoint">
            <h3>
              <Foreign text={target.host_name} max={120} />
            </h3>
            <Facts client={client} command={command} target={target} />
          </section>
        ))
      )}
      <div className="dialog-foot">
        {back ? (
          <Button className="button" onPress={undo}>
            {back.verb}
          </Button>
        ) : null}
        <Link className="button" to="/c/$client/commands/$command" params={{ client, command: id }} onClick={close}>
          The command’s page
        </Link>
        <Button className="button primary push" onPress={close}>
          Close
        </Button>
      </div>
    </div>
  );
}

function Row({ target }: { target: Target }) {
  const { word, tone } = furthest(target);
  return (
    <li>
      <Foreign text={target.host_name} max={80} />
      <Badge tone={tone}>{word}</Badge>
    </li>
  );
}

/** How it stands altogether, in a sentence that is read out when it changes. */
function Head({ command }: { command: Command }) {
  const { waits_for: waits, targets } = command;
  const count = (word: string) => targets.filter((target) => furthest(target).word === word).length;
  const [proved, wrong] = [count('proved'), count('refused') + count('failed') + count('lapsed')];
  const all = targets.length;
  const address = `${location.origin}/c/${command.client}/commands/${command.id}`;
  return (
    <div className="following-head" role="status">
      {waits ? (
        <>
          <Hourglass size={20} className="held-words" aria-hidden />
          <p>
            It waits for another person: {waits}. Send them its address: they sign it there.
            <CopyButton text={address} label="Copy the command’s address" />
          </p>
        </>
      ) : wrong > 0 ? (
        <>
          <CircleX size={20} className="bad-words" aria-hidden />
          <p>{all === 1 ? 'It was not done.' : `Not done on ${wrong} of ${many(all, 'endpoint')}.`}</p>
        </>
      ) : proved === all ? (
        <>
          <CircleCheck size={20} className="good-words" aria-hidden />
          <p>{all === 1 ? 'Proved: the endpoint did it and observed the effect.' : `Proved on all ${many(all, 'endpoint')}.`}</p>
        </>
      ) : isOver(command) ? (
        <>
          <CircleCheck size={20} aria-hidden />
          <p>It is over.</p>
        </>
      ) : (
        <>
          <LoaderCircle size={20} className="turning" aria-hidden />
          <p>{all === 1 ? 'Handed over. What becomes of it is shown as it happens.' : `Handed over; proved on ${proved} of ${many(all, 'endpoint')} so far.`}</p>
        </>
      )}
    </div>
  );
}
