// The commands to one endpoint, among the client's last ones.

import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Terminal } from 'lucide-react';

import { Button } from 'react-aria-components';

import { commandsPage, REFRESH_MS } from '../../api/queries';
import type { EndpointWhole } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Answer, Empty } from '../../parts/Notice';
import { Moment } from '../../parts/Time';
import { actionWord } from '../../words/state';
import { Track } from '../commands/Track';

export function CommandsOf({ endpoint }: { endpoint: EndpointWhole }) {
  const { client, id } = endpoint;
  const asked = useInfiniteQuery({
    queryKey: [client, 'commands', 'of', id],
    queryFn: ({ pageParam }) => commandsPage(client, { endpoint: id, limit: 30 }, pageParam),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
    refetchInterval: REFRESH_MS,
  });
  return (
    <Answer asked={asked}>
      {({ pages }) => {
        const here = pages.flatMap((page) => page.items).flatMap((command) => command.targets.filter((target) => target.endpoint === id).map((target) => ({ command, target })));
        return (
          <div className="stack">
            {here.length === 0 ? (
              <Empty icon={Terminal} title="No command to this endpoint">
                <p>What operators sign for it appears here with five facts: requested, authorised, delivered, applied, proved.</p>
              </Empty>
            ) : null}
            {here.map(({ command, target }) => (
              <Link key={command.id} to="/c/$client/commands/$command" params={{ client, command: command.id }} className="card-link">
                <span className="need-first">
                  <strong>{actionWord(command.action)}</strong>
                  <span className="faint">
                    {command.signed_by.join(', ')}, <Moment at={command.requested_at} />
                  </span>
                </span>
                <span className="need-detail">
                  <Foreign text={command.reason} max={300} />
                </span>
                <Track target={target} command={command} />
              </Link>
            ))}
            {asked.hasNextPage ? (
              <Button className="button" isDisabled={asked.isFetchingNextPage} onPress={() => void asked.fetchNextPage()}>
                Show older ones
              </Button>
            ) : null}
          </div>
        );
      }}
    </Answer>
  );
}
