// What an endpoint told, newest first and live, narrowed by class, text and conditions on fields.

import { useNavigate, useSearch } from '@tanstack/react-router';
import { Pause, Play, Search as Glass, Telescope } from 'lucide-react';
import { useDeferredValue, useEffect, useState } from 'react';
import { Button } from 'react-aria-components';

import { useFollowed } from '../../api/followed';
import type { EndpointWhole, EventShown } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Choice } from '../../parts/Input';
import { Badge } from '../../parts/Mark';
import { Answer, Empty } from '../../parts/Notice';
import { type Column, Table } from '../../parts/Table';
import { Moment } from '../../parts/Time';
import { useTyped } from '../../shell/typed';
import { CLASSES, summary } from '../../words/summary';
import { EventDrawer } from './EventDrawer';

/** Events that came in live and are kept while the page is open; older ones are asked for. */
const LIVE_MAX = 2000;

/** Looks of half a second each, by itself, until something is found. */
const LOOKS_MAX = 20;

const GRAVE = new Set(['high', 'critical', 'fatal']);

export function ClassBadge({ event }: { event: EventShown }) {
  const severity = (event.severity ?? '').toLowerCase();
  const tone = GRAVE.has(severity) ? 'bad' : severity === 'medium' ? 'warn' : event.class === 'receipt' ? 'held' : 'plain';
  return (
    <Badge tone={tone} title={`${event.class}, severity ${severity || 'unknown'}`}>
      {event.class}
    </Badge>
  );
}

const COLUMNS: Column<EventShown>[] = [
  { key: 'time', title: 'Time', width: '7.2rem', card: 'side', cell: (event) => <Moment at={event.time_dt} precise /> },
  { key: 'class', title: 'Class', width: '7.5rem', card: 'line', cell: (event) => <ClassBadge event={event} /> },
  {
    key: 'what',
    title: 'What happened',
    width: 'minmax(16rem, 1fr)',
    card: 'title',
    cell: (event) => (
      <span className="event-words">
        <Foreign text={summary(event)} max={400} />
      </span>
    ),
  },
];

export function Timeline({ endpoint }: { endpoint: EndpointWhole }) {
  const route = '/shell/c/$client/endpoints/$endpoint';
  const search = useSearch({ from: route });
  const navigate = useNavigate({ from: '/c/$client/endpoints/$endpoint' });
  const [live, setLive] = useState(true);
  const change = (over: Partial<typeof search>) => {
    const next = Object.fromEntries(Object.entries({ ...search, ...over }).filter(([, value]) => value));
    void navigate({ search: next, replace: true });
  };
  const asked = useDeferredValue({
    endpoint: endpoint.id,
    class: search.class ?? '',
    text: search.text ?? '',
    where: search.where ?? '',
  });
  const { found, feed, past, fresh } = useFollowed(endpoint.client, 'timeline', asked, live, LIVE_MAX);
  const rows = merge(fresh, past);
  const { hasNextPage, isFetching, fetchNextPage } = found;
  const isLooking = rows.length === 0 && hasNextPage && (found.data?.pages.length ?? 0) < LOOKS_MAX;
  useEffect(() => {
    if (isLooking && !isFetching) void fetchNextPage();
  }, [isLooking, isFetching, fetchNextPage]);
  const more = found.hasNextPage && !found.isFetching ? () => void found.fetchNextPage() : undefined;
  const chosen = search.event ? rows.find((event) => event.metadata.uid === search.event) : undefined;
  return (
    <>
      <Narrowing search={search} change={change}>
        <Button className="button" onPress={() => setLive(!live)} aria-pressed={live}>
          {live ? <Pause size={14} aria-hidden /> : <Play size={14} aria-hidden />}
          {live ? (feed === 'live' ? 'Live' : 'Connecting…') : 'Paused'}
        </Button>
      </Narrowing>
      <Answer asked={found} rows={8}>
        {() =>
          rows.length > 0 ? (
            <Table
              label="Events"
              columns={COLUMNS}
              rows={rows}
              rowKey={(event) => event.metadata.uid}
              open={(event) => change({ event: event.metadata.uid })}
              more={more}
              height="calc(100dvh - var(--table-top, 20rem))"
            />
          ) : (
            <Empty icon={Telescope} title={isLooking ? 'Looking further back …' : found.hasNextPage ? 'Nothing in what was looked at so far' : 'No such event'}>
              <p>One look takes half a second at most and goes on where it left off.</p>
              {found.hasNextPage && !isLooking ? (
                <Button className="button" isPending={found.isFetching} onPress={() => void found.fetchNextPage()}>
                  Look further back
                </Button>
              ) : null}
            </Empty>
          )
        }
      </Answer>
      {search.event ? (
        <EventDrawer client={endpoint.client} uid={search.event} known={chosen} close={() => change({ event: '' })} />
      ) : null}
    </>
  );
}

/** What came in live may be in the first answer, too. */
function merge(fresh: EventShown[], past: EventShown[]): EventShown[] {
  if (fresh.length === 0) return past;
  const known = new Set(fresh.map((event) => event.metadata.uid));
  return [...fresh, ...past.filter((event) => !known.has(event.metadata.uid))];
}

interface Narrow {
  class?: string | undefined;
  text?: string | undefined;
  where?: string | undefined;
}

interface NarrowingProps {
  search: Narrow;
  change: (over: Narrow) => void;
  children: React.ReactNode;
}

function Narrowing({ search, change, children }: NarrowingProps) {
  const [text, setText] = useTyped(search.text ?? '', (value) => change({ text: value }));
  const [where, setWhere] = useState(search.where ?? '');
  return (
    <div className="filters" role="search">
      <label className="search">
        <Glass size={15} aria-hidden />
        <span className="unseen">Text in the events</span>
        <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Text in any field" />
      </label>
      <Choice
        label="Class"
        value={search.class ?? ''}
        onChange={(value) => change({ class: value })}
        options={[['', 'Every class'], ...CLASSES.map((name): [string, string] => [name, name])]}
      />
      <form
        className="search"
        onSubmit={(event) => {
          event.preventDefault();
          change({ where });
        }}
      >
        <label className="wide">
          <span className="unseen">Conditions on fields</span>
          <input value={where} onChange={(event) => setWhere(event.target.value)} placeholder="process.user.uid = 0 and process.pid > 1000" title="FIELD = VALUE, with =, !=, <, >, contains or prefix, joined by and. Enter looks." spellCheck={false} />
        </label>
      </form>
      {children}
    </div>
  );
}
