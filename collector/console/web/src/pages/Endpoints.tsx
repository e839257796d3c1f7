// The list of a client's endpoints: filtered and sorted by the collector, only the seen rows here.

import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { SearchX } from 'lucide-react';
import { useDeferredValue } from 'react';
import { Button } from 'react-aria-components';

import { Answer, Empty, Failure } from '../parts/Notice';
import { Page } from '../parts/Page';
import { Table } from '../parts/Table';
import { useKept } from '../shell/kept';
import { useNarrow } from '../shell/narrow';
import { many } from '../words/measure';
import { ChosenBar } from './endpoints/ChosenBar';
import { useChoice } from './endpoints/choice';
import { COLUMNS, COLUMNS_DEFAULT } from './endpoints/columns';
import { ColumnMenu } from './endpoints/ColumnMenu';
import { Filters } from './endpoints/Filters';
import { question, type Search } from './endpoints/question';
import { useRows } from './endpoints/rows';
import { SavedFilters } from './endpoints/SavedFilters';

const isNames = (value: unknown): value is string[] => Array.isArray(value) && value.every((one) => typeof one === 'string');

export function Endpoints() {
  const { client } = useParams({ from: '/shell/c/$client/endpoints' });
  const search = useSearch({ from: '/shell/c/$client/endpoints' });
  const navigate = useNavigate({ from: '/c/$client/endpoints' });
  const narrow = useNarrow();
  const [kept, keep] = useKept<string[]>('endpoints.columns', COLUMNS_DEFAULT, isNames);
  const found = useRows(question(client, useDeferredValue(search)));
  const choice = useChoice(found);
  const change = (next: Search) => {
    const said = Object.fromEntries(Object.entries(next).filter(([, value]) => value));
    void navigate({ search: said, replace: true });
  };
  const { rows, total, error } = found;
  const columns = COLUMNS.filter((column) => column.always || (narrow ? column.card : kept.includes(column.key)));
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
      <Answer asked={{ data: total, error }} rows={8}>
        {() =>
          rows.length > 0 ? (
            <>
              {error ? <Failure error={error} /> : null}
              <Table
                label="Endpoints"
                columns={columns}
                rows={rows}
                rowKey={(row) => row.id}
                open={(row) => void navigate({ to: '/c/$client/endpoints/$endpoint', params: { client, endpoint: row.id } })}
                sorting={{
                  by: search.sort ?? 'name',
                  descending: search.order === 'descending',
                  change: (by, descending) => change({ ...search, sort: by, order: descending ? 'descending' : undefined }),
                }}
                choosing={choice.choosing}
                seen={found.seen}
                anew={JSON.stringify(found.question)}
                height="calc(100dvh - var(--table-top, 15rem))"
              />
            </>
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
      <ChosenBar client={client} choice={choice} />
    </Page>
  );
}
