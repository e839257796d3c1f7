// Processes of an endpoint: those that were started lately, and one of them as a picture with the
// line it comes from and all that came of it.

import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { GitBranch, RefreshCw, Search as Glass } from 'lucide-react';
import { useEffect, useMemo, useState } from 'react';
import { Button } from 'react-aria-components';

import { eventsPage } from '../../api/queries';
import type { EndpointWhole } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Answer, Empty } from '../../parts/Notice';
import { Moment } from '../../parts/Time';
import { summary } from '../../words/summary';
import { type Family, type Process, begun, branch, family, name } from './family';
import { ProcessDetail } from './ProcessDetail';
import { TreePicture } from './TreePicture';

/** Pages of events looked at: the picture is of what they tell, and says from when on. */
const PAGES_MAX = 6;

/** Rows beside the picture. */
const LISTED_MAX = 200;

export default function Processes({ endpoint }: { endpoint: EndpointWhole }) {
  const asked = useInfiniteQuery({
    queryKey: [endpoint.client, 'events', 'processes', endpoint.id],
    queryFn: ({ pageParam }) => eventsPage(endpoint.client, { endpoint: endpoint.id, class: 'process', limit: 500 }, pageParam || undefined),
    initialPageParam: '',
    getNextPageParam: (last, pages) => (pages.length < PAGES_MAX ? (last.next ?? undefined) : undefined),
    staleTime: Infinity,
  });
  const { data, hasNextPage, isFetching, fetchNextPage } = asked;
  // The newest are shown at once; the rest comes by itself.
  useEffect(() => {
    if (hasNextPage && !isFetching) void fetchNextPage();
  }, [hasNextPage, isFetching, fetchNextPage]);
  const items = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data]);
  const all = useMemo(() => family(items), [items]);
  const oldest = items.at(-1)?.time_dt;
  const isWhole = data?.pages.at(-1)?.next === null;
  return (
    <Answer asked={asked} rows={8}>
      {() =>
        items.length === 0 ? (
          <Empty icon={GitBranch} title={isFetching ? 'Looking …' : 'No process was told of yet'}>
            <p>Every program that is started on the endpoint appears here, with whose child it is.</p>
          </Empty>
        ) : (
          <>
            <div className="row">
              <p className="note">
                {isWhole ? 'All that it told of processes' : 'The last that it told of processes'}, {oldest ? <>since <Moment at={oldest} />. </> : null}
                What began before is drawn by its number alone.
              </p>
              <Button className="button push" isPending={isFetching} onPress={() => void asked.refetch()}>
                <RefreshCw size={14} aria-hidden /> Look again
              </Button>
            </div>
            <Chosen endpoint={endpoint} all={all} />
          </>
        )
      }
    </Answer>
  );
}

function Chosen({ endpoint, all }: { endpoint: EndpointWhole; all: Family }) {
  const search = useSearch({ from: '/shell/c/$client/endpoints/$endpoint' });
  const navigate = useNavigate({ from: '/c/$client/endpoints/$endpoint' });
  const [text, setText] = useState('');
  const launched = useMemo(
    () => [...all.values()].filter((one) => one.launch).sort((a, b) => begun(b).localeCompare(begun(a))),
    [all],
  );
  const sought = text.toLowerCase();
  const rows = launched.filter((one) => sought === '' || words(one).toLowerCase().includes(sought)).slice(0, LISTED_MAX);
  const chosen = all.get(search.process ?? '') ?? rows[0] ?? launched[0];
  const choose = (key: string) => void navigate({ search: { ...search, process: key }, replace: true });
  const top = chosen ? branch(all, chosen.key) : null;
  return (
    <div className="processes">
      <div className="process-side">
        <label className="search">
          <Glass size={15} aria-hidden />
          <span className="unseen">Look for a process</span>
          <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Program, argument, pid" />
        </label>
        <ul className="process-list" aria-label="Processes started lately">
          {rows.map((one) => (
            <li key={one.key}>
              <Button className="process-row" aria-pressed={one === chosen} onPress={() => choose(one.key)}>
                <span className="process-name">
                  <Foreign text={name(one)} max={60} />
                </span>
                <Moment at={begun(one)} precise />
                <span className="process-line">
                  <Foreign text={words(one)} max={120} />
                </span>
              </Button>
            </li>
          ))}
        </ul>
      </div>
      <div className="process-main">
        {top && chosen ? (
          <>
            <TreePicture top={top} chosen={chosen.key} choose={choose} />
            <ProcessDetail key={chosen.key} endpoint={endpoint} process={chosen} all={all} choose={choose} />
          </>
        ) : (
          <Empty icon={GitBranch} title="Nothing fits this" />
        )}
      </div>
    </div>
  );
}

function words(process: Process): string {
  return process.launch ? `${process.pid} ${summary(process.launch)}` : process.pid;
}
