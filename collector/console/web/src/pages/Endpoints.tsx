// The list of a client's endpoints: filtered and sorted by the collector, only the seen rows here.

import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { SearchX } from 'lucide-react';
import { useDeferredValue } from 'react';
import { Button } from 'react-aria-components';

import { api, take } from '../api/client';
import type { Endpoint } from '../api/types';
import { Answer, Empty } from '../parts/Notice';
import { Page } from '../parts/Page';
import { Table } from '../parts/Table';
import { useKept } from '../shell/kept';
import { useNarrow } from '../shell/narrow';
import { many } from '../words/measure';
import { COLUMNS, COLUMNS_DEFAULT } from './endpoints/columns';
import { ColumnMenu } from './endpoints/ColumnMenu';
import { Filters, type Search } from './endpoints/Filters';
import { SavedFilters } from './endpoints/SavedFilters';

const PAGE = 200;

type Sort = 'name' | 'seen' | 'enrolled' | 'os' | 'version' | 'site' | 'criticality' | 'client';

const isNames = (value: unknown): value is string[] => Array.isArray(value) && value.every((one) => typeof one === 'string');

/** What the collector is asked, from the words of the address. */
function asked(client: string, search: Search) {
  const { text, os, site, label, standing } = search;
  const words = Object.fromEntries(Object.entries({ text, os, site, label, standing }).filter(([, value]) => value));
  return {
    client,
    ...words,
    ...(search.state ? { state: search.state as 'online' | 'offline' } : {}),
    ...(search.criticality ? { criticality: search.criticality as 'low' | 'normal' | 'high' | 'critical' } : {}),
    ...(search.contained === 'true' ? { contained: true } : {}),
    sort: (search.sort ?? 'name') as Sort,
    descending: search.order === 'descending',
    limit: PAGE,
  };
}

export function Endpoints() {
  const { client } = useParams({ from: '/shell/c/$client/endpoints' });
  const search = useSearch({ from: '/shell/c/$client/endpoints' });
  const navigate = useNavigate({ from: '/c/$client/endpoints' });
  const narrow = useNarrow();
  const [kept, keep] = useKept<string[]>('endpoints.columns', COLUMNS_DEFAULT, isNames);
  const query = asked(client, useDeferredValue(search));
  const found = useInfiniteQuery({
    queryKey: [client, 'endpoints', 'list', query],
    queryFn: ({ pageParam }) =>
      take(api.GET('/api/v1/endpoints', { params: { query: { ...query, ...(pageParam ? { cursor: pageParam } : {}) } } })),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });
  const change = (next: Search) => {
    const said = Object.fromEntries(Object.entries(next).filter(([, value]) => value));
    void navigate({ search: said, replace: true });
  };
  const rows: Endpoint[] = found.data?.pages.flatMap((page) => page.items) ?? [];
  const total = found.data?.pages[0]?.total;
  const columns = COLUMNS.filter((column) => column.always || (narrow ? column.card : kept.includes(column.key)));
  const more = found.hasNextPage && !found.isFetchingNextPage ? () => void found.fetchNextPage() : undefined;
  return (
    <Page
      title="Endpoints"
      lead={total === undefined ? null : many(total, 'endpoint')}
      actions={
        <>
          <SavedFilters client={client} search={search} change={change} />
          {narrow ? null : <ColumnMenu kept={kept} keep={keep} />}
        </>
      }
    >
      <Filters client={client} search={search} change={change} />
      <Answer asked={found} rows={8}>
        {() =>
          rows.length > 0 ? (
            <Table
              label="Endpoints"
              columns={columns}
              rows={rows}
              total={total ?? rows.length}
              rowKey={(row) => row.id}
              open={(row) => void navigate({ to: '/c/$client/endpoints/$endpoint', params: { client, endpoint: row.id } })}
              sorting={{
                by: search.sort ?? 'name',
                descending: search.order === 'descending',
                change: (by, descending) => change({ ...search, sort: by, order: descending ? 'descending' : undefined }),
              }}
              more={more}
              height="calc(100dvh - var(--table-top, 15rem))"
            />
          ) : (
            <Empty icon={SearchX} title="No endpoint fits this">
              <p>Take a filter away, or look for less of the name.</p>
              <Button className="button" onPress={() => change({})}>
                Show all
              </Button>
            </Empty>
          )
        }
      </Answer>
    </Page>
  );
}
