// The events that a bundle is going to hold, newest first. Selecting some of them narrows the time.

import { useQuery } from '@tanstack/react-query';
import { Crop, Telescope } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

import { eventsPage, type EventsAsked } from '../../api/queries';
import type { EventShown } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Answer, Empty } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { type Column, Table } from '../../parts/Table';
import { Moment } from '../../parts/Time';
import { many } from '../../words/measure';
import { summary } from '../../words/summary';
import { milliseconds } from '../../words/time';
import { EventDrawer } from '../endpoint/EventDrawer';
import { ClassBadge } from '../endpoint/Timeline';
import { around, type Span } from './span';

/** Events that are shown; the bundle holds all. */
const SHOWN_MAX = 500;

/** Looks of half a second each. */
const LOOKS_MAX = 8;

/** Endpoints that are asked for one by one; of more, the client's events are looked through. */
const SINGLY_MAX = 6;

async function look(client: string, asked: EventsAsked): Promise<{ items: EventShown[]; whole: boolean }> {
  const items: EventShown[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < LOOKS_MAX && items.length < SHOWN_MAX; page += 1) {
    const found = await eventsPage(client, { ...asked, limit: SHOWN_MAX }, cursor);
    items.push(...found.items);
    cursor = found.next ?? undefined;
    if (!cursor) return { items, whole: true };
  }
  return { items, whole: false };
}

async function preview(client: string, endpoints: string[], asked: EventsAsked) {
  const singly = endpoints.length > 0 && endpoints.length <= SINGLY_MAX;
  const found = await Promise.all(singly ? endpoints.map((endpoint) => look(client, { ...asked, endpoint })) : [look(client, asked)]);
  const wanted = new Set(endpoints);
  const all = found.flatMap((one) => one.items).filter((event) => wanted.size === 0 || wanted.has(event.device.uid));
  all.sort((a, b) => milliseconds(b.time_dt) - milliseconds(a.time_dt));
  return { items: all.slice(0, SHOWN_MAX), whole: found.every((one) => one.whole) && all.length <= SHOWN_MAX };
}

interface Props {
  client: string;
  endpoints: string[];
  asked: { class: string; text: string };
  span: Span;
  narrow: (span: Span) => void;
  event: string | undefined;
  open: (uid: string | undefined) => void;
}

export function Preview({ client, endpoints, asked, span, narrow, event, open }: Props) {
  const [selected, setSelected] = useState<Map<string, number>>(new Map());
  const found = useQuery({
    queryKey: [client, 'events', 'evidence', endpoints, asked, span],
    queryFn: () => preview(client, endpoints, { ...asked, ...span }),
    staleTime: Infinity,
  });
  const toggle = (one: EventShown) => {
    const next = new Map(selected);
    if (!next.delete(one.metadata.uid)) next.set(one.metadata.uid, milliseconds(one.time_dt));
    setSelected(next);
  };
  const narrowed = around([...selected.values()]);
  const known = found.data?.items.find((one) => one.metadata.uid === event);
  return (
    <Panel
      title="What it will hold"
      flush
      aside={
        narrowed ? (
          <Button
            className="button small"
            onPress={() => {
              narrow(narrowed);
              setSelected(new Map());
            }}
          >
            <Crop size={14} aria-hidden /> Narrow the time to {many(selected.size, 'event')}
          </Button>
        ) : (
          <span>{found.data ? (found.data.whole ? many(found.data.items.length, 'event') : `the newest ${found.data.items.length} that were found`) : ''}</span>
        )
      }
    >
      <Answer asked={found} rows={6}>
        {({ items, whole }) =>
          items.length > 0 ? (
            <Table label="Events" columns={columns(selected, toggle)} rows={items} rowKey={(one) => one.metadata.uid} open={(one) => open(one.metadata.uid)} height="min(26rem, 60dvh)" />
          ) : (
            <Empty icon={Telescope} title={whole ? 'No event fits this' : 'Nothing in what was looked at so far'}>
              <p>Take more time, another class, or other endpoints. An export of it would hold whatever else was signed in that time.</p>
            </Empty>
          )
        }
      </Answer>
      <p className="foot-note">
        Whole batches are exported, as the endpoints signed them: every class, and a little before and after. Class and text narrow this list only; leaving events out of a bundle would break what proves it.
      </p>
      {event ? <EventDrawer client={client} uid={event} known={known} close={() => open(undefined)} /> : null}
    </Panel>
  );
}

function columns(selected: Map<string, number>, toggle: (event: EventShown) => void): Column<EventShown>[] {
  return [
    {
      key: 'select',
      title: '',
      width: '1.6rem',
      card: 'line',
      cell: (event) => (
        // A press on the box is no press on the row.
        // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-static-element-interactions
        <span onClick={(press) => press.stopPropagation()}>
          <input type="checkbox" className="select-box" aria-label="Select this event" checked={selected.has(event.metadata.uid)} onChange={() => toggle(event)} />
        </span>
      ),
    },
    { key: 'time', title: 'Time', width: '10rem', card: 'side', cell: (event) => <Moment at={event.time_dt} /> },
    { key: 'endpoint', title: 'Endpoint', width: 'minmax(7rem, 10rem)', card: 'line', cell: (event) => <Foreign text={event.device.hostname} max={60} /> },
    { key: 'class', title: 'Class', width: '7.5rem', card: 'line', cell: (event) => <ClassBadge event={event} /> },
    {
      key: 'what',
      title: 'What happened',
      width: 'minmax(16rem, 1fr)',
      card: 'title',
      cell: (event) => (
        <span className="event-words">
          <Foreign text={summary(event)} max={300} />
        </span>
      ),
    },
  ];
}
