// The first page: how the fleet stands, what is contained, what needs a person now. Live.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { MonitorSmartphone, ShieldCheck } from 'lucide-react';

import { ALL, clients, containments, counts, needy, waitingCommands } from '../api/queries';
import type { Command as Ordered, Containment, Endpoint } from '../api/types';
import { Command } from '../parts/Copy';
import { Answer, Empty } from '../parts/Notice';
import { Page, Panel } from '../parts/Page';
import { useClient } from '../shell/client';
import { needs } from '../words/attention';
import { many } from '../words/measure';
import { ContainmentList } from './overview/ContainmentList';
import { Fleet } from './overview/Fleet';
import { NeedList } from './overview/NeedList';
import { ClientList } from './overview/ClientList';

export function Overview() {
  const client = useClient();
  const counted = useQuery(counts(client));
  const needing = useQuery(needy(client));
  const held = useQuery(containments(client));
  const commanded = useQuery(waitingCommands(client));
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
            {(found) => <Fleet client={client} counts={found} />}
          </Answer>
          <div className="columns">
            <NeedsNow
              client={client}
              endpoints={needing.data?.items}
              total={needing.data?.total ?? 0}
              held={held.data?.items}
              commanded={commanded.data?.items}
              error={needing.error ?? held.error ?? commanded.error}
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
  client: string;
  endpoints: Endpoint[] | undefined;
  /** How many endpoints need a person; of those the gravest are here. */
  total: number;
  held: Containment[] | undefined;
  commanded: Ordered[] | undefined;
  error: Error | null;
}

function NeedsNow({ client, endpoints, total, held, commanded, error }: NeedsProps) {
  const isKnown = endpoints && held && commanded;
  const found = isKnown ? needs(endpoints, held, commanded) : undefined;
  const beyond = total - (endpoints?.length ?? 0);
  const count = found ? new Set(found.map((need) => need.endpoint ?? need.key)).size + beyond : 0;
  return (
    <Panel title="Needs a person now" aside={count > 0 ? <span className="count">{count.toLocaleString('en')}</span> : null} flush>
      <Answer asked={{ data: found, error }}>
        {(all) =>
          all.length > 0 ? (
            <>
              <NeedList needs={all} named={client === ALL} />
              {beyond > 0 ? (
                <p className="foot-note">
                  The gravest {endpoints?.length} of {many(total, 'endpoint')} that need a person.{' '}
                  {client === ALL ? null : (
                    <Link to="/c/$client/endpoints" params={{ client }} search={{ needs_person: 'true', sort: 'need' }}>
                      All of them
                    </Link>
                  )}
                </p>
              ) : null}
            </>
          ) : (
            <Empty icon={ShieldCheck} title="Nothing needs you">
              <p>Killed agents, lost networks, blinded sensors, containments that do not hold and commands that wait for a signature appear here.</p>
            </Empty>
          )
        }
      </Answer>
    </Panel>
  );
}
