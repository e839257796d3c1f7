// Endpoints that an address names and a person may change: the address goes along while they are few.

import { useQueries } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { endpoint } from '../api/queries';
import type { Chosen } from './Pick';

/** More would make the address too long. */
export const NAMED_MAX = 20;

export function useNamed(client: string, named: string | undefined, tell: (ids: string | undefined) => void): [Chosen[], (chosen: Chosen[]) => void] {
  const [picked, setPicked] = useState<Chosen[] | null>(null);
  const ids = useMemo(() => [...new Set((named ?? '').split(',').filter((id) => /^[0-9a-f]{64}$/.test(id)))].slice(0, NAMED_MAX), [named]);
  const first = useQueries({
    queries: ids.map((id) => ({ ...endpoint(client, id), enabled: picked === null })),
    // Another client's are not found, or are not this page's.
    combine: (all) => all.flatMap((one) => (one.data && one.data.client === client ? [one.data] : [])),
  });
  const choose = (chosen: Chosen[]) => {
    setPicked(chosen);
    tell(chosen.length > 0 && chosen.length <= NAMED_MAX ? chosen.map((one) => one.id).join(',') : undefined);
  };
  return [picked ?? first, choose];
}
