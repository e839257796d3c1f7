// Everything that stands on a client's endpoints, the lease that ends next first.

import { useQuery } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { ShieldBan } from 'lucide-react';

import { TakeBack } from '../acting/TakeBack';
import { containments } from '../api/queries';
import type { Containment } from '../api/types';
import { Foreign } from '../parts/Foreign';
import { Badge } from '../parts/Mark';
import { Answer, Empty } from '../parts/Notice';
import { Page } from '../parts/Page';
import { type Column, Table } from '../parts/Table';
import { Ago, Left, Since } from '../parts/Time';
import { many } from '../words/measure';
import { standingWord } from '../words/state';
import { Hold } from './overview/ContainmentList';

const columns = (since: number): Column<Containment>[] => [
  {
    key: 'host',
    title: 'Endpoint',
    width: 'minmax(10rem, 1.2fr)',
    card: 'title',
    cell: (row) => (
      <span className="name">
        <Foreign text={row.host_name} max={100} />
      </span>
    ),
  },
  { key: 'action', title: 'What stands', width: '9rem', card: 'line', cell: (row) => <Badge tone="held">{standingWord(row.action)}</Badge> },
  { key: 'hold', title: 'Holds', width: '7rem', card: 'line', cell: (row) => <Hold containment={row} /> },
  {
    key: 'left',
    title: 'Ends in',
    width: '7rem',
    card: 'side',
    cell: (row) => (row.left_secs === null || row.left_secs === undefined ? <span className="faint">no end</span> : <Left secs={row.left_secs} since={since} />),
  },
  { key: 'back', title: 'Take back', width: '8rem', card: 'line', cell: (row) => <TakeBack stands={row} /> },
  { key: 'since', title: 'Stands for', width: '7rem', cell: (row) => <Since at={row.since} /> },
  { key: 'seen', title: 'Last seen', width: '8rem', cell: (row) => <Ago at={row.observed?.at} /> },
  { key: 'drifts', title: 'Drifts', width: '5rem', cell: (row) => (row.drifts > 0 ? <Badge tone="warn">{row.drifts}</Badge> : <span className="faint">none</span>) },
  { key: 'by', title: 'By', width: '7rem', cell: (row) => row.by || row.response || '' },
  { key: 'reason', title: 'Reason', width: 'minmax(12rem, 2fr)', cell: (row) => <Foreign text={row.reason} max={200} /> },
];

export function Containments() {
  const { client } = useParams({ from: '/shell/c/$client/containments' });
  const navigate = useNavigate();
  const asked = useQuery(containments(client));
  const order = (one: Containment) => one.left_secs ?? Infinity;
  const rows = [...(asked.data?.items ?? [])].sort((a, b) => order(a) - order(b));
  return (
    <Page title="Containments" lead={asked.data ? (rows.length > 0 ? `${many(rows.length, 'change')} to endpoints that stand now` : null) : null}>
      <Answer asked={asked} rows={5}>
        {() =>
          rows.length > 0 ? (
            <Table
              label="Containments"
              columns={columns(asked.dataUpdatedAt)}
              rows={rows}
              rowKey={(row) => `${row.command} ${row.endpoint}`}
              open={(row) => void navigate({ to: '/c/$client/commands/$command', params: { client, command: row.command } })}
              height="calc(100dvh - var(--table-top, 13rem))"
            />
          ) : (
            <Empty icon={ShieldBan} title="Nothing is contained">
              <p>What is isolated, blocked, denied or locked stands here with its lease, until it ends or is let go. An endpoint is cut off on its own page.</p>
            </Empty>
          )
        }
      </Answer>
    </Page>
  );
}
