// What an agent took of its machine and how full its disks were, over time and live: from the health
// and disk events that the endpoint signed.

import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { ChartLine } from 'lucide-react';
import { useEffect, useMemo, useState } from 'react';

import { useFeed } from '../../api/live';
import { eventsPage } from '../../api/queries';
import type { EndpointWhole, EventShown } from '../../api/types';
import { Chart } from '../../parts/Chart';
import { Foreign } from '../../parts/Foreign';
import { Choice } from '../../parts/Input';
import { Answer, Empty } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { useNow } from '../../parts/Time';
import type { Line } from '../../words/line';
import { bytes, many, span as inWords } from '../../words/measure';
import { moment } from '../../words/time';
import { disks, resources } from './series';

const HOUR_MS = 3_600_000;

const SPANS: Record<string, { words: string; ms: number }> = {
  '1h': { words: 'The last hour', ms: HOUR_MS },
  '6h': { words: 'The last 6 hours', ms: 6 * HOUR_MS },
  '24h': { words: 'The last 24 hours', ms: 24 * HOUR_MS },
};

/** Pages of events that a day takes at most; a look takes half a second, so that some are not full. */
const LOOKS_MAX = 40;

const percent = (value: number) => `${value.toFixed(value < 10 && value > 0 ? 1 : 0)} %`;
const perSecond = (value: number) => `${bytes(value)}/s`;

export default function Resources({ endpoint }: { endpoint: EndpointWhole }) {
  const search = useSearch({ from: '/shell/c/$client/endpoints/$endpoint' });
  const navigate = useNavigate({ from: '/c/$client/endpoints/$endpoint' });
  const key = search.span && search.span in SPANS ? search.span : '1h';
  const told = useTold(endpoint, key);
  return (
    <>
      <div className="filters">
        <Choice
          label="How far back"
          value={key}
          onChange={(value) => void navigate({ search: { ...search, span: value }, replace: true })}
          options={Object.entries(SPANS).map(([name, one]): [string, string] => [name, one.words])}
        />
        {told.isLooking ? (
          <span className="faint" role="status">
            Reading what it told …
          </span>
        ) : null}
      </div>
      <Answer asked={{ data: told.events, error: told.error }} rows={8}>
        {(events) => <Charts events={events} span={told.span} isPart={told.isPart} />}
      </Answer>
    </>
  );
}

interface Told {
  events: EventShown[] | undefined;
  error: Error | null;
  span: [number, number];
  isLooking: boolean;
  /** More was told than was read. */
  isPart: boolean;
}

/** Reads page after page until the span is full, and then goes on live. */
function useTold(endpoint: EndpointWhole, key: string): Told {
  const { client, id } = endpoint;
  const asked = { endpoint: id, class: 'health,disk' };
  // The chart moves on twice a minute.
  const until = Math.ceil(useNow() / 30_000) * 30_000;
  const ms = SPANS[key]?.ms ?? HOUR_MS;
  const found = useInfiniteQuery({
    queryKey: [client, 'events', 'resources', id, key],
    queryFn: ({ pageParam }) => {
      const since = new Date(Date.now() - ms).toISOString();
      return eventsPage(client, { ...asked, since: pageParam.since || since, limit: 500 }, pageParam.cursor || undefined).then((page) => ({ ...page, since: pageParam.since || since }));
    },
    initialPageParam: { since: '', cursor: '' },
    getNextPageParam: (last) => (last.next ? { since: last.since, cursor: last.next } : undefined),
    staleTime: Infinity,
  });
  const [heard, setHeard] = useState<EventShown[]>([]);
  useFeed(client, asked, true, (event) => setHeard((before) => [...before, event]));
  const { data, hasNextPage, isFetching, fetchNextPage } = found;
  const looks = data?.pages.length ?? 0;
  const isLooking = hasNextPage && looks < LOOKS_MAX;
  useEffect(() => {
    if (isLooking && !isFetching) void fetchNextPage();
  }, [isLooking, isFetching, fetchNextPage]);
  const events = useMemo(() => {
    if (!data) return undefined;
    const from = until - ms;
    const all = new Map([...data.pages.flatMap((page) => page.items), ...heard].map((event) => [event.metadata.uid, event]));
    return [...all.values()].filter((event) => Date.parse(event.time_dt) >= from);
  }, [data, heard, until, ms]);
  return { events, error: found.error, span: [until - ms, until], isLooking, isPart: hasNextPage && !isLooking };
}

interface ChartsProps {
  events: EventShown[];
  span: [number, number];
  isPart: boolean;
}

function Charts({ events, span, isPart }: ChartsProps) {
  const own = useMemo(() => resources(events), [events]);
  const full = useMemo(() => disks(events), [events]);
  if (events.length === 0) {
    return (
      <Empty icon={ChartLine} title="It told nothing in this time">
        <p>A connected agent reports its own health every 30 seconds, and its disks every minute.</p>
      </Empty>
    );
  }
  const forecast = full.lines.filter((line) => line.forecast);
  const ahead: [number, number] = forecast.length > 0 ? [span[0], span[1] + (span[1] - span[0]) / 4] : span;
  const limit = (value: number | null, words: (value: number) => string) =>
    value === null ? undefined : { value, words: `${words(value)} allowed` };
  return (
    <>
      {isPart ? <p className="note">More was told in this time than is read at once: the charts begin later.</p> : null}
      <div className="charts">
        <Panel title="The agent’s processor">
          <Chart title="Share of one processor" lines={[own.cpu]} span={span} words={percent} least={1} limit={limit(own.cpuMax, percent)} />
        </Panel>
        <Panel title="The agent’s memory">
          <Chart title="Resident memory" lines={[own.memory]} span={span} words={bytes} isBinary limit={limit(own.memoryMax, bytes)} />
        </Panel>
        <Panel title="Sent to the collector">
          <Chart title="Bytes each second" lines={[own.sent]} span={span} words={perSecond} isBinary least={1024} />
        </Panel>
        <Panel title="Waiting to be sent">
          <Chart title="Bytes in the spool" lines={[own.spool]} span={span} words={bytes} isBinary least={1024} />
        </Panel>
        {full.lines.length > 0 ? (
          <div className="charts-wide">
            <Panel title="Disks">
              <Chart title="How full its file systems are" lines={full.lines} span={ahead} words={percent} least={100} />
              {forecast.map((line) => (
                <Forecast key={line.name} line={line} now={span[1]} />
              ))}
              {full.beyond > 0 ? <p className="faint">The fullest are drawn; {many(full.beyond, 'file system')} more told of themselves.</p> : null}
            </Panel>
          </div>
        ) : null}
      </div>
    </>
  );
}

function Forecast({ line, now }: { line: Line; now: number }) {
  if (!line.forecast) return null;
  const { fullAt, percentSure } = line.forecast;
  return (
    <p className="warn-words">
      <Foreign text={line.name} max={80} /> is full {fullAt > now ? `in ${inWords((fullAt - now) / 1000)}` : 'now'} ({moment(new Date(fullAt).toISOString())}) if it goes on so
      {percentSure === null ? '' : `, ${percentSure} % sure`}
    </p>
  );
}
