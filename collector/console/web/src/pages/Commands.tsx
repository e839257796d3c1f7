// Commands that operators signed for a client, the newest first, each with how far it came.

import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { Terminal } from 'lucide-react';

import { commandsPage } from '../api/queries';
import type { Command } from '../api/types';
import { Command as Line } from '../parts/Copy';
import { Foreign } from '../parts/Foreign';
import { Badge } from '../parts/Mark';
import { Answer, Empty } from '../parts/Notice';
import { Page } from '../parts/Page';
import { type Column, Table } from '../parts/Table';
import { Moment } from '../parts/Time';
import { actionWord } from '../words/state';
import { furthest } from './commands/Track';

const COLUMNS: Column<Command>[] = [
  { key: 'at', title: 'Requested', width: '8.5rem', card: 'line', cell: (row) => <Moment at={row.requested_at} /> },
  { key: 'action', title: 'Action', width: '9rem', card: 'title', cell: (row) => <span className="name">{actionWord(row.action)}</span> },
  {
    key: 'targets',
    title: 'Endpoints',
    width: 'minmax(10rem, 1fr)',
    card: 'line',
    cell: (row) => (
      <>
        <Foreign text={row.targets[0]?.host_name ?? ''} max={80} />
        {row.targets.length > 1 ? <span className="faint"> and {row.targets.length - 1} more</span> : null}
      </>
    ),
  },
  { key: 'far', title: 'How far', width: 'minmax(9rem, 1fr)', card: 'side', cell: (row) => <Far command={row} /> },
  { key: 'by', title: 'Signed by', width: '8rem', cell: (row) => row.signed_by.join(', ') },
  { key: 'reason', title: 'Reason', width: 'minmax(12rem, 2fr)', cell: (row) => <Foreign text={row.reason} max={200} /> },
];

function Far({ command }: { command: Command }) {
  if (command.waits_for) {
    return (
      <Badge tone="held" title={command.waits_for}>
        waits for a signature
      </Badge>
    );
  }
  const counts = new Map<string, { count: number; tone: 'good' | 'warn' | 'bad' | 'plain' }>();
  for (const target of command.targets) {
    const { word, tone } = furthest(target, command.action);
    counts.set(word, { count: (counts.get(word)?.count ?? 0) + 1, tone });
  }
  return [...counts].map(([word, { count, tone }]) => (
    <Badge key={word} tone={tone}>
      {command.targets.length > 1 ? `${count} ${word}` : word}
    </Badge>
  ));
}

export function Commands() {
  const { client } = useParams({ from: '/shell/c/$client/commands' });
  const navigate = useNavigate();
  const found = useInfiniteQuery({
    queryKey: [client, 'commands', 'list'],
    queryFn: ({ pageParam }) => commandsPage(client, { limit: 100 }, pageParam),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
  });
  const rows = found.data?.pages.flatMap((page) => page.items) ?? [];
  const more = found.hasNextPage && !found.isFetchingNextPage ? () => void found.fetchNextPage() : undefined;
  return (
    <Page title="Commands" lead="Everything that was asked of endpoints, signed by the people who asked.">
      <Answer asked={found} rows={6}>
        {() =>
          rows.length > 0 ? (
            <Table
              label="Commands"
              columns={COLUMNS}
              rows={rows}
              rowKey={(row) => row.id}
              open={(row) => void navigate({ to: '/c/$client/commands/$command', params: { client, command: row.id } })}
              more={more}
              height="calc(100dvh - var(--table-top, 12rem))"
            />
          ) : (
            <Empty icon={Terminal} title="Nothing was commanded yet">
              <p>An endpoint’s own page acts on it. Every command is signed with a key that this collector never sees: by a passkey at the signing page, or at the terminal:</p>
              <Line text="cordon isolate ENDPOINT --reason '…' --wait" />
            </Empty>
          )
        }
      </Answer>
    </Page>
  );
}
