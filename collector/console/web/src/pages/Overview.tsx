// The first page: how the fleet stands, what is contained, what needs a person now. Live.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { MonitorSmartphone, ShieldCheck } from 'lucide-react';

import { ALL, clients, containments, counts, recentCommands, silent, weightiest } from '../api/queries';
import type { Endpoint } from '../api/types';
import { Command } from '../parts/Copy';
import { Answer, Empty } from '../parts/Notice';
import { Page, Panel } from '../parts/Page';
import { useClient } from '../shell/client';
import { type Need, needs } from '../words/attention';
import { many } from '../words/measure';
import { ContainmentList } from './overview/ContainmentList';
import { Fleet } from './overview/Fleet';
import { NeedList } from './overview/NeedList';
import { ClientList } from './overview/ClientList';

export function Overview() {
  const client = useClient();
  const counted = useQuery(counts(client));
  const quiet = useQuery(silent(client));
  const weighty = useQuery(weightiest(client));
  const held = useQuery(containments(client));
  const commanded = useQuery(recentCommands(client));
  const seats = useQuery(clients);
  const total = counted.data?.total;
  const others = (seats.data?.items.length ?? 0) > 1;
  const lead = total === undefined ? null : `${many(total, 'endpoint')}${client === ALL ? ` of ${many(seats.data?.items.length ?? 0, 'client')}` : ''}`;
  return (
    <Page title={client === ALL ? 'All clients' : client} lead={lead}>
      {total === 0 ? (
        <Empty icon={MonitorSmartphone} title="No endpoint has enrolled yet">
          <p>An endpoint joins with a token that you make on your own machine:</p>
          <Command text={`cordon token create${client === ALL ? '' : ` --client ${client}`} --uses 50 --for 7d`} />
          <p>It prints one string. On the endpoint, hand it to the agent:</p>
          <Command text="cordon-agent enroll STRING" />
        </Empty>
      ) : (
        <>
          <Answer asked={counted} rows={2}>
            {(found) => <Fleet client={client} counts={found} silent={quiet.data?.items ?? []} silentTotal={quiet.data?.total} />}
          </Answer>
          <div className="columns">
            <NeedsNow
              asked={[quiet.data?.items, weighty.data?.items]}
              held={held.data?.items}
              commanded={commanded.data?.items}
              named={client === ALL}
              lookedAt={weighty.data ? Math.min(500, weighty.data.total) : undefined}
              total={weighty.data?.total}
            />
            <Panel
              title="Standing containments"
              aside={client !== ALL ? <Link to="/c/$client/containments" params={{ client }}>All</Link> : null}
              flush
            >
              <Answer asked={held}>
                {(found) => <ContainmentList items={found.items} since={held.dataUpdatedAt} named={client === ALL} />}
              </Answer>
            </Panel>
          </div>
          {client === ALL && others && counted.data ? <ClientList counts={counted.data.by_client} seats={seats.data?.items ?? []} /> : null}
        </>
      )}
    </Page>
  );
}

interface NeedsProps {
  asked: (Endpoint[] | undefined)[];
  held: Parameters<typeof needs>[1] | undefined;
  commanded: Parameters<typeof needs>[2] | undefined;
  named: boolean;
  lookedAt: number | undefined;
  total: number | undefined;
}

function NeedsNow({ asked, held, commanded, named, lookedAt, total }: NeedsProps) {
  const isKnown = asked.every((one) => one !== undefined) && held && commanded;
  const found: Need[] = isKnown ? needs(asked.flatMap((one) => one ?? []), held, commanded) : [];
  const isPart = lookedAt !== undefined && total !== undefined && lookedAt < total;
  return (
    <Panel title="Needs a person now" aside={isKnown && found.length > 0 ? <span className="count">{found.length}</span> : null} flush>
      <Answer asked={{ data: isKnown || undefined, error: null }}>
        {() =>
          found.length > 0 ? (
            <NeedList needs={found} named={named} />
          ) : (
            <Empty icon={ShieldCheck} title="Nothing needs you">
              <p>Killed agents, lost networks, blinded sensors, containments that do not hold and commands that wait for a signature appear here.</p>
            </Empty>
          )
        }
      </Answer>
      {isPart ? (
        <p className="foot-note">
          Sensors and clocks were looked at on the {lookedAt} endpoints with the most hanging on them, of {total.toLocaleString('en')}.
        </p>
      ) : null}
    </Panel>
  );
}
