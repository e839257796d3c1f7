// The client whose page this is, by its address; none on the pages that speak of all.

import { useParams } from '@tanstack/react-router';

import { ALL } from '../api/queries';

/** The client's name, or the name for all of them. */
export function useClient(): string {
  const { client } = useParams({ strict: false });
  return client ?? ALL;
}
