// The clients that the person serves, and as what.

import { useQuery } from '@tanstack/react-query';

import { ALL, clients, counts } from '../api/queries';
import { Answer } from '../parts/Notice';
import { Page } from '../parts/Page';
import { many } from '../words/measure';
import { ClientList } from './overview/ClientList';

export function Clients() {
  const seats = useQuery(clients);
  const counted = useQuery(counts(ALL));
  return (
    <Page title="Clients" lead={seats.data ? `${many(seats.data.items.length, 'client')} whose roster names you` : null}>
      <Answer asked={seats}>
        {(found) => (
          <Answer asked={counted}>{(numbers) => <ClientList counts={numbers.by_client} seats={found.items} />}</Answer>
        )}
      </Answer>
      <p className="note">
        A client comes with a roster of its own, signed by the authority; <code>cordon-collector init</code> takes one for each.
      </p>
    </Page>
  );
}
