// What can be done about what an event tells of: a file is taken away, an address or a name is blocked.

import { Button } from 'react-aria-components';

import type { EventShown } from '../api/types';
import { word } from '../words/summary';
import { useActing } from './Acting';
import type { DeedName, Subject } from './deeds';
import type { Seen } from './draft';
import { hostName, network, path } from './parse';
import { useMayAct } from './useMayAct';

/** What an event gives a hold of; nothing where its words could not be signed as they are. */
export function holdOf(event: EventShown): { deed: DeedName; words: string; subject: Subject } | null {
  try {
    if (event.class === 'file') {
      return { deed: 'quarantine', words: 'Quarantine …', subject: { path: path(word(event, 'file.path')) } };
    }
    if (event.class === 'network') {
      const isInbound = word(event, 'connection_info.direction').toLowerCase() === 'inbound';
      const address = word(event, isInbound ? 'src_endpoint.ip' : 'dst_endpoint.ip');
      network(address);
      return { deed: 'block', words: 'Block …', subject: { peer: address } };
    }
    if (event.class === 'dns') {
      return { deed: 'block', words: 'Block …', subject: { peer: hostName(word(event, 'query.hostname').replace(/\.$/, '')) } };
    }
  } catch {
    // Said by there being no button.
  }
  return null;
}

export function EventActions({ event, client, endpoint }: { event: EventShown; client: string; endpoint: Seen }) {
  const act = useActing();
  const hold = holdOf(event);
  if (!useMayAct(client) || !hold) return null;
  return (
    <Button className="button small" onPress={() => act({ deed: hold.deed, client, endpoints: [endpoint], subject: hold.subject })}>
      {hold.words}
    </Button>
  );
}
