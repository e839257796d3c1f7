// One event, whole: its fields by their paths, or as it came.

import { useQuery } from '@tanstack/react-query';
import { FileCheck2, X } from 'lucide-react';
import { lazy, Suspense, useState } from 'react';
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';

import { EventDeeds } from '../../acting/EventDeeds';
import { eventsPage } from '../../api/queries';
import type { EventShown, Json } from '../../api/types';
import { CopyButton } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { Answer, Waiting } from '../../parts/Notice';
import { Moment } from '../../parts/Time';
import { parts } from '../../words/foreign';
import { endpointOf, summary } from '../../words/summary';
import { ClassBadge } from './Timeline';

const ProveEvent = lazy(() => import('../evidence/ProveEvent'));

/** Looks for it through the log, some pages long. */
const PAGES_MAX = 10;

interface Props {
  client: string;
  /** `ENDPOINT/LANE/EPOCH/SEQUENCE` */
  uid: string;
  known?: EventShown | undefined;
  close: () => void;
}

async function look(client: string, uid: string): Promise<EventShown> {
  const endpoint = endpointOf(uid);
  let cursor: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const found = await eventsPage(client, { endpoint, where: `metadata.uid = ${uid}`, limit: 1 }, cursor);
    const [event] = found.items;
    if (event) return event;
    if (!found.next) break;
    cursor = found.next;
  }
  throw new Error('This event was not found: it is older than was looked through, or was deleted when its time was up.');
}

export function EventDrawer({ client, uid, known, close }: Props) {
  const asked = useQuery({
    queryKey: [client, 'events', 'one', uid],
    queryFn: () => look(client, uid),
    staleTime: Infinity,
    enabled: known === undefined,
  });
  return (
    <ModalOverlay className="overlay at-side" isOpen onOpenChange={(open) => (open ? undefined : close())} isDismissable>
      <Modal className="drawer">
        <Dialog className="dialog" aria-label="Event">
          <Answer asked={known ? { data: known, error: null } : asked} rows={8}>
            {(event) => <Whole client={client} event={event} close={close} />}
          </Answer>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

function Whole({ client, event, close }: { client: string; event: EventShown; close: () => void }) {
  const [raw, setRaw] = useState(false);
  const [proving, setProving] = useState(false);
  const text = JSON.stringify(event, null, 2);
  return (
    <>
      <div className="drawer-head">
        <Heading slot="title">
          <ClassBadge event={event} /> {event.activity_name}
        </Heading>
        <Button className="icon-button" aria-label="Close" onPress={close}>
          <X size={18} />
        </Button>
      </div>
      <p className="drawer-words">
        <Foreign text={summary(event)} max={2000} />
      </p>
      <p className="faint">
        <Moment at={event.time_dt} precise /> by its clock, received <Moment at={event.metadata.logged_time_dt} precise />. Signed as number {event.metadata.sequence} of
        its {event.metadata.lane} lane, epoch {event.metadata.epoch}.
      </p>
      <div className="row">
        <div className="segments" role="group" aria-label="How it is shown">
          <Button className="segment" aria-pressed={!raw} onPress={() => setRaw(false)}>
            Fields
          </Button>
          <Button className="segment" aria-pressed={raw} onPress={() => setRaw(true)}>
            Raw
          </Button>
        </div>
        <CopyButton text={text} label="Copy the event as JSON" />
        <Button className="button small push" isDisabled={proving} onPress={() => setProving(true)}>
          <FileCheck2 size={14} aria-hidden /> Prove this event
        </Button>
      </div>
      <EventDeeds client={client} event={event} />
      {proving ? (
        <Suspense fallback={<Waiting />}>
          <ProveEvent client={client} event={event} />
        </Suspense>
      ) : null}
      {raw ? <Raw text={text} /> : <FieldList event={event} />}
    </>
  );
}

/** Line ends of the JSON's own layout stay; everything else hidden is written out. */
export function Raw({ text }: { text: string }) {
  return (
    <pre className="raw" tabIndex={0}>
      {text.split('\n').map((line, index) => (
        <span key={index}>
          {parts(line).parts.map((part, at) => (part.escaped ? <span key={at} className="escaped">{part.text}</span> : part.text))}
          {'\n'}
        </span>
      ))}
    </pre>
  );
}

/** Every leaf of the event with the path that conditions name it by. */
export function leaves(value: Json, path = ''): [string, string][] {
  if (value === null) return [];
  if (Array.isArray(value)) return value.flatMap((inner, index) => leaves(inner, `${path}[${index}]`));
  if (typeof value === 'object') {
    return Object.entries(value).flatMap(([name, inner]) => leaves(inner, path === '' ? name : `${path}.${name}`));
  }
  return [[path, String(value)]];
}

function FieldList({ event }: { event: EventShown }) {
  return (
    <dl className="leaves">
      {leaves(event as unknown as Json).map(([path, value]) => (
        <div key={path}>
          <dt>
            <Foreign text={path} max={200} />
          </dt>
          <dd>
            <Foreign text={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
