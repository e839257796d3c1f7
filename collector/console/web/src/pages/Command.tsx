// One command: what was signed, and the five facts at each endpoint with the receipts that show them.

import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { Button } from 'react-aria-components';

import { DEEDS, lasts, takingBack } from '../acting/deeds';
import { SignToo } from '../acting/SignToo';
import { useActing } from '../acting/Acting';
import { useMayAct } from '../acting/useMayAct';
import { command as one } from '../api/queries';
import type { Command, Json, Target } from '../api/types';
import { Command as Line, Id } from '../parts/Copy';
import { Foreign } from '../parts/Foreign';
import { Badge } from '../parts/Mark';
import { Answer } from '../parts/Notice';
import { Field, Fields, Page, Panel } from '../parts/Page';
import { Ago, Moment } from '../parts/Time';
import { many, span } from '../words/measure';
import { actionWord } from '../words/state';
import { Facts } from './commands/Facts';
import { furthest } from './commands/Track';
import { leaves } from './endpoint/EventDrawer';

/** After these nothing of a command stands. */
const OVER = new Set(['refused', 'failed', 'lapsed', 'ended']);

export function CommandPage() {
  const { client, command: id } = useParams({ from: '/shell/c/$client/commands/$command' });
  const asked = useQuery(one(client, id));
  return <Answer asked={asked} rows={8}>{(command) => <Whole command={command} />}</Answer>;
}

function Whole({ command }: { command: Command }) {
  return (
    <Page
      title={`${actionWord(command.action)}: ${command.targets.length === 1 ? 'one endpoint' : many(command.targets.length, 'endpoint')}`}
      lead={
        <>
          <strong>{command.signed_by.join(', ')}</strong>: <Foreign text={command.reason} max={400} />
        </>
      }
      actions={<Back command={command} />}
    >
      {command.waits_for ? (
        <div className="waits">
          <Badge tone="held">Waits for a signature</Badge>
          <p>{command.waits_for}</p>
          <SignToo command={command} />
        </div>
      ) : null}
      {command.targets.map((target) => (
        <TargetPanel key={target.endpoint} command={command} target={target} />
      ))}
      <div className="columns">
        <Panel title="What was signed">
          <Fields>
            <Field name="Command">
              <Id id={command.id} length={18} />
            </Field>
            <Field name="Action">{actionWord(command.action)}</Field>
            {leaves(command.parameters as unknown as Json).map(([path, value]) => (
              <Field key={path} name={path.replaceAll('_', ' ')}>
                <Foreign text={path.endsWith('_secs') ? `${value} s (${span(Number(value))})` : value} max={600} />
              </Field>
            ))}
            <Field name="Counts for">{span(command.age_max_secs)} of endpoint time{command.queued ? ', also where it is switched off now' : ''}</Field>
            {command.incident ? (
              <Field name="Incident">
                <Foreign text={command.incident} max={200} />
              </Field>
            ) : null}
            <Field name="Requested">
              <Moment at={command.requested_at} />
            </Field>
          </Fields>
        </Panel>
        <Panel title="See for yourself">
          <p className="panel-words">
            This page tells what the collector says. The terminal program verifies each receipt on your machine before it says proved:
          </p>
          <Line text={`cordon command show ${command.id}`} />
        </Panel>
      </div>
    </Page>
  );
}

/** The way back, for as long as something of it may stand. */
function Back({ command }: { command: Command }) {
  const act = useActing();
  const { client, id, action, targets } = command;
  const here = targets.filter((target) => !OVER.has(furthest(target).word));
  if (!useMayAct(client) || !lasts(action) || command.waits_for || here.length === 0) return null;
  const { name, verb } = takingBack(action);
  const Icon = DEEDS[name].icon;
  const endpoints = here.map(({ endpoint, host_name }) => ({ id: endpoint, host_name }));
  return (
    <Button className="button" onPress={() => act({ deed: name, client, endpoints, subject: { undo: { command: id, action } } })}>
      <Icon size={15} aria-hidden /> {verb}
    </Button>
  );
}

function TargetPanel({ command, target }: { command: Command; target: Target }) {
  return (
    <section className="panel target" aria-label="An endpoint">
      <div className="panel-head">
        <h2>
          <Link to="/c/$client/endpoints/$endpoint" params={{ client: command.client, endpoint: target.endpoint }}>
            <Foreign text={target.host_name} max={120} />
          </Link>
        </h2>
        {target.observed ? (
          <span className="panel-aside">
            last seen to be <Badge tone={target.observed.state === 'holds' ? 'good' : 'warn'}>{target.observed.state === 'holds' ? 'holding' : target.observed.state}</Badge>
            <Ago at={target.observed.at} />
          </span>
        ) : null}
      </div>
      <div className="panel-body">
        <Facts client={command.client} command={command} target={target} />
      </div>
    </section>
  );
}
