// One change of what people say, made at many endpoints: each is asked for alone, under the revision
// that was seen, and each tells what became of it.

import { api, take } from '../../api/client';
import type { Endpoint, NoteChange } from '../../api/types';

/** Changes under way at once: the collector writes them one after another. */
const AT_ONCE = 4;

export interface Change {
  /** Null for none, undefined to leave it. */
  site?: string | null;
  criticality?: NonNullable<NoteChange['criticality']>;
  add: string[];
  remove: string[];
}

export interface Outcome {
  endpoint: Endpoint;
  /** Null where it is done. */
  error: string | null;
}

/** What is asked of one endpoint; null if it is so already. */
export function changeOf(endpoint: Endpoint, change: Change): NoteChange | null {
  const labels = [...new Set([...endpoint.labels.filter((one) => !change.remove.includes(one)), ...change.add])];
  const asked: NoteChange = {};
  if (labels.length !== endpoint.labels.length || labels.some((one) => !endpoint.labels.includes(one))) asked.labels = labels;
  if (change.site !== undefined && change.site !== (endpoint.site ?? null)) asked.site = change.site;
  if (change.criticality !== undefined && change.criticality !== endpoint.criticality) asked.criticality = change.criticality;
  return Object.keys(asked).length > 0 ? { ...asked, revision: endpoint.revision } : null;
}

/** Words between commas or spaces. */
export function words(text: string): string[] {
  return [...new Set(text.toLowerCase().split(/[\s,]+/).filter((word) => word !== ''))];
}

/** Makes the change everywhere; `told` hears of each as it is done. */
export async function noteAll(endpoints: Endpoint[], change: Change, told: (outcome: Outcome) => void): Promise<void> {
  const waiting = [...endpoints];
  const work = async () => {
    for (let endpoint = waiting.shift(); endpoint; endpoint = waiting.shift()) {
      const asked = changeOf(endpoint, change);
      let error: string | null = null;
      if (asked) {
        try {
          await take(api.PATCH('/api/v1/endpoints/{id}', { params: { path: { id: endpoint.id } }, body: asked }));
        } catch (failed) {
          error = failed instanceof Error ? failed.message : String(failed);
        }
      }
      told({ endpoint, error });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
