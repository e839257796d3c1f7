// Whether whoever is signed in may act at a client at all; what exactly, the roster says.

import { useQuery } from '@tanstack/react-query';

import { session } from '../api/queries';

export function useMayAct(client: string): boolean {
  const { data } = useQuery(session);
  const seat = data?.clients.find((one) => one.id === client);
  return seat !== undefined && seat.role !== 'viewer';
}
