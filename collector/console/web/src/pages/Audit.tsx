// What people did, from a client's chained trail.

import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { Download, ScrollText, Search as Glass } from 'lucide-react';

import { api, take } from '../api/client';
import type { Entry } from '../api/types';
import { Foreign } from '../parts/Foreign';
import { Choice } from '../parts/Input';
import { Answer, Empty } from '../parts/Notice';
import { Page } from '../parts/Page';
import { type Column, Table } from '../parts/Table';
import { Moment } from '../parts/Time';
import { useTyped } from '../shell/typed';

const DEEDS = [
  'sign-in', 'sign-in.refuse', 'session.revoke', 'command.upload', 'command.sign', 'roster.put', 'token.create',
  'token.revoke', 'export', 'way-out.fetch', 'endpoint.note', 'site.create', 'site.change', 'site.remove',
  'account.invite', 'account.uninvite', 'account.set-up', 'account.change', 'account.remove', 'api-token.create',
  'api-token.revoke',
];

const COLUMNS: Column<Entry>[] = [
  { key: 'number', title: 'No.', width: '4.5rem', cell: (row) => <span className="faint number">{row.number}</span> },
  { key: 'at', title: 'When', width: '9rem', card: 'side', cell: (row) => <Moment at={row.at} /> },
  { key: 'who', title: 'Who', width: '8rem', card: 'line', cell: (row) => <strong title={`with key ${row.key}`}>{row.who}</strong> },
  { key: 'what', title: 'What', width: '10rem', card: 'title', cell: (row) => <code>{row.what}</code> },
  { key: 'to', title: 'To what', width: 'minmax(12rem, 1.3fr)', card: 'line', cell: (row) => <Foreign text={row.to} max={160} /> },
  {
    key: 'detail',
    title: 'How',
    width: 'minmax(14rem, 2fr)',
    cell: (row) => (
      <span title={`hash ${row.hash}`}>
        <Foreign text={row.detail} max={240} />
      </span>
    ),
  },
];

export function Audit() {
  const { client } = useParams({ from: '/shell/c/$client/audit' });
  const search = useSearch({ from: '/shell/c/$client/audit' });
  const navigate = useNavigate({ from: '/c/$client/audit' });
  const said = Object.fromEntries(Object.entries(search).filter(([, value]) => value));
  const change = (over: typeof search) => {
    const next = Object.fromEntries(Object.entries({ ...search, ...over }).filter(([, value]) => value));
    void navigate({ search: next, replace: true });
  };
  const [text, setText] = useTyped(search.text ?? '', (value) => change({ text: value }));
  const found = useInfiniteQuery({
    queryKey: [client, 'audit', search],
    queryFn: ({ pageParam }) =>
      take(
        api.GET('/api/v1/audit', {
          params: { query: { client, order: 'newest', limit: 200, ...said, ...(pageParam ? { cursor: pageParam } : {}) } },
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: (last) => (last.next ? Number(last.next) : undefined),
  });
  const rows = found.data?.pages.flatMap((page) => page.items) ?? [];
  const more = found.hasNextPage && !found.isFetchingNextPage ? () => void found.fetchNextPage() : undefined;
  return (
    <Page
      title="Audit"
      lead="What people did here. Each entry carries the hash of the one before, so that none can be changed or taken out unseen."
      actions={
        <a className="button" href={`/api/v1/audit/export?client=${encodeURIComponent(client)}`} download={`audit-${client}`}>
          <Download size={15} aria-hidden /> Export
        </a>
      }
    >
      <div className="filters" role="search">
        <label className="search">
          <Glass size={15} aria-hidden />
          <span className="unseen">Text in the trail</span>
          <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Text in the trail" />
        </label>
        <Choice
          label="What"
          value={search.what ?? ''}
          onChange={(value) => change({ what: value })}
          options={[['', 'Every deed'], ...DEEDS.map((deed): [string, string] => [deed, deed])]}
        />
        {search.who ? (
          <Choice label="Who" value={search.who} onChange={(value) => change({ who: value })} options={[['', 'Everybody'], [search.who, search.who]]} />
        ) : null}
      </div>
      <Answer asked={found} rows={8}>
        {() =>
          rows.length > 0 ? (
            <Table
              label="The trail"
              columns={COLUMNS}
              rows={rows}
              rowKey={(row) => String(row.number)}
              open={(row) => change({ who: search.who === row.who ? '' : row.who })}
              more={more}
              height="calc(100dvh - var(--table-top, 17rem))"
            />
          ) : (
            <Empty icon={ScrollText} title="Nothing fits this">
              <p>Signing in, commands, rosters, tokens, exports and changes to accounts are in the trail.</p>
            </Empty>
          )
        }
      </Answer>
      <p className="note">
        Check the whole chain on your own machine: <code>cordon audit export --help</code>
      </p>
    </Page>
  );
}
