// What can be done about one event that stands open, wherever it was opened from.

import { useQuery } from '@tanstack/react-query';

import { endpoint } from '../api/queries';
import type { EventShown } from '../api/types';
import { endpointOf } from '../words/summary';
import { EventActions } from './EventActions';
import { launched } from './launched';
import { ProcessActions } from './ProcessActions';

export function EventDeeds({ client, event }: { client: string; event: EventShown }) {
  // Its name of now: a command under another name is refused there.
  const found = useQuery(endpoint(client, endpointOf(event.metadata.uid))).data;
  if (!found) return null;
  if (event.class === 'process') {
    if (event.activity_name !== 'Launch') return null;
    // Whether it still runs is not known here; of one that does not, the endpoint says so.
    return <ProcessActions endpoint={found} {...launched(event)} isRunning />;
  }
  return (
    <div className="row deeds">
      <EventActions event={event} client={client} endpoint={found} />
    </div>
  );
}
