// What an action asks for, what is to be known before it, and the press that opens the signing page.

import { useQueries } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Button } from 'react-aria-components';

import { endpoint as one, preview } from '../api/queries';
import type { Command } from '../api/types';
import { Choice } from '../parts/Input';
import { Refusal } from '../parts/Refusal';
import type { Asked } from './Acting';
import { signAndBring } from './bring';
import { Cuts } from './Cuts';
import { DEEDS, type Deed, takingBack } from './deeds';
import { type Desk, need } from './desk';
import { type Draft, Unmade } from './draft';
import { FieldRow, Lines, Tick } from './FieldRow';
import { type Values, first } from './fields';
import { second } from './forecast';
import { NoPasskey } from './NoPasskey';
import { PageChoice, Wait } from './Signing';
import { Signatures } from './Signatures';
import { Given, fixed } from './Given';
import { useSigning } from './useSigning';
import { Warnings } from './Warnings';

/** Endpoints that are looked at one by one; of more, the list that they were chosen from told. */
const LOOKED_MAX = 8;

const SNAPSHOT_MS = 2000;

const AGES: [string, string][] = [['', 'Usual time'], ['900', '15 minutes'], ['3600', '1 hour'], ['28800', '8 hours'], ['604800', '7 days']];

/** As long as another person needs to be woken up. */
const AGE_OF_TWO_SECS = 3600;

interface Props {
  asked: Asked;
  desk: Desk;
  done: (command: Command) => void;
  close: () => void;
}

export function ActForm({ asked, desk, done, close }: Props) {
  const { client, endpoints, subject = {} } = asked;
  const deed: Deed = DEEDS[asked.deed];
  const known = fixed(subject);
  const [values, setValues] = useState<Values>(() => ({ ...first(deed.fields), ...known }));
  const [reason, setReason] = useState('');
  const [more, setMore] = useState({ incident: '', queued: false, age: '', snapshot: deed.snapshot === 'taken' });
  const [refused, setRefused] = useState<Error | null>(null);
  const [page, setPage] = useState(desk.pages[0]);
  const signing = useSigning();
  const looked = endpoints.slice(0, LOOKED_MAX);
  const states = useQueries({ queries: looked.map(({ id }) => one(client, id)) });
  const forecasts = useQueries({ queries: deed.kind === 'isolate' ? looked.map(({ id }) => preview(client, id)) : [] });
  const why = forecasts.map(({ data }) => second(data)).find((words) => words !== null) ?? null;
  const needs = need(desk, deed.kind, endpoints.length, why !== null);
  const short = endpoints.map(({ id }) => id.slice(0, 12)).join(' ');
  const line = `cordon ${deed.line(subject).replace('WHOM', short).replace('CLIENT', client)} --reason '…' --wait`;
  const verb = asked.deed === 'undo' && subject.undo ? takingBack(subject.undo.action).verb : deed.verb;

  const draft = (): Draft => {
    const ageOfTwo = needs.says === 'persons' && needs.count > 1 && !more.queued ? AGE_OF_TWO_SECS : null;
    const age = more.age === '' ? ageOfTwo : Number(more.age);
    return {
      client, endpoints, reason, action: deed.action(values, subject), incident: more.incident, queued: more.queued,
      snapshotMs: more.snapshot ? SNAPSHOT_MS : null, ...(age === null ? {} : { ageMaxSecs: age }),
    };
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setRefused(null);
    try {
      const wanted = draft();
      // The roster bounds every lease; endpoints refuse a longer one.
      const { action } = wanted;
      if ('lease_secs' in action && Number(action.lease_secs ?? 0) > desk.leaseSecsMax) {
        throw new Unmade(`The client’s roster allows leases of at most ${desk.leaseSecsMax / 3600} hours.`);
      }
      signing.sign((how) => signAndBring(wanted, desk, { ...how, ...(page ? { page } : {}) }), done);
    } catch (error) {
      setRefused(error as Error);
    }
  };
  const change = (key: string) => (value: Values[string]) => setValues((before) => ({ ...before, [key]: value }));
  const asksFor = deed.fields.filter((field) => !(field.key in known));
  const rows = (isRare: boolean) =>
    asksFor.filter((field) => (field.isRare ?? false) === isRare).map((field) => <FieldRow key={field.key} field={field} value={values[field.key]} change={change(field.key)} />);
  const cannot = needs.says !== 'persons';
  return (
    <form onSubmit={submit} className="form act-form">
      <p className="panel-words">
        {deed.does} {deed.ends}
      </p>
      <Given subject={subject} />
      <Warnings deed={deed} looked={states.flatMap(({ data }) => data ?? [])} queued={more.queued} />
      {deed.kind === 'isolate' ? looked.map((endpoint) => <Cuts key={endpoint.id} client={client} endpoint={endpoint} alone={endpoints.length === 1} />) : null}
      {rows(false)}
      <Lines label="Reason" value={reason} change={setReason} rows={2} isRequired autoFocus placeholder="Everybody sees it, and the endpoint keeps it" />
      <details className="more act-more">
        <summary>More</summary>
        <div className="form">
          {rows(true)}
          {deed.snapshot === 'never' ? null : (
            <Tick isSelected={more.snapshot} onChange={(snapshot) => setMore({ ...more, snapshot })}>
              Take a snapshot first: what runs, sockets, sessions, mounts
            </Tick>
          )}
          <Tick isSelected={more.queued} onChange={(queued) => setMore({ ...more, queued })}>
            Let it count where an endpoint is switched off now, for up to 7 days
          </Tick>
          <Choice label="How long it counts until an endpoint takes it" value={more.age} options={AGES} onChange={(age) => setMore({ ...more, age })} />
          <Lines label="Incident" value={more.incident} change={(incident) => setMore({ ...more, incident })} rows={1} placeholder="The case that this belongs to" />
        </div>
      </details>
      <Signatures needs={needs} targets={endpoints.length} second={why} client={client} />
      {page ? (
        <>
          <Refusal error={refused ?? signing.error} />
          {signing.step ? (
            <Wait signing={signing} page={page} />
          ) : (
            <div className="dialog-foot">
              <Button type="submit" className={deed.isGrave ? 'button primary held' : 'button primary'} isDisabled={cannot}>
                Sign and {verb.toLowerCase()}
              </Button>
              <Button className="button" onPress={close}>
                Cancel
              </Button>
              <PageChoice pages={desk.pages} chosen={page} choose={setPage} />
              <span className="note push">Your passkey signs it at {page.origin.replace(/^https?:\/\//, '')}</span>
            </div>
          )}
        </>
      ) : (
        <>
          <NoPasskey client={client} operator={desk.operator} line={line} />
          <div className="dialog-foot">
            <Button className="button" onPress={close}>
              Close
            </Button>
          </div>
        </>
      )}
    </form>
  );
}
