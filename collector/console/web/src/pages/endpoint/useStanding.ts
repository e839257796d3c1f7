// What stands on an endpoint, as soon as its receipts say so: its own health tells of it, too, but only
// once a minute.

import { useQuery } from '@tanstack/react-query';

import { containments } from '../../api/queries';
import type { EndpointWhole, Standing } from '../../api/types';

export function useStanding(endpoint: EndpointWhole): { command: string; action: string }[] {
  const { data } = useQuery(containments(endpoint.client));
  return data?.items.filter((one) => one.endpoint === endpoint.id) ?? (endpoint.standing as unknown as Standing[]);
}
