// The way back beside what stands.

import { Button } from 'react-aria-components';

import type { Containment } from '../api/types';
import { plain } from '../words/foreign';
import { actionWord } from '../words/state';
import { useActing } from './Acting';
import { takingBack } from './deeds';
import { useMayAct } from './useMayAct';

type Stands = Pick<Containment, 'client' | 'endpoint' | 'host_name' | 'action' | 'command'>;

export function TakeBack({ stands }: { stands: Stands }) {
  const act = useActing();
  const { client, endpoint, host_name, action, command } = stands;
  if (!useMayAct(client)) return null;
  const { name, verb } = takingBack(action);
  return (
    <Button
      className="button small"
      aria-label={`${verb}: ${actionWord(action)} on ${plain(host_name, 60)}`}
      onPress={() => act({ deed: name, client, endpoints: [{ id: endpoint, host_name }], subject: { undo: { command, action } } })}
    >
      {verb}
    </Button>
  );
}
