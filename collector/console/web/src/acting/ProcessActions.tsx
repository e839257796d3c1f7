// What can be done about a process: to itself, and to the program that it runs.

import { Ban, CirclePause, CircleStop, FileLock2 } from 'lucide-react';
import { Button } from 'react-aria-components';

import type { EndpointWhole } from '../api/types';
import { useActing } from './Acting';
import type { DeedName, Subject } from './deeds';
import { useMayAct } from './useMayAct';

interface Props {
  endpoint: EndpointWhole;
  process: NonNullable<Subject['process']>;
  /** Where its program is; empty if that is not known. */
  path: string;
  isRunning: boolean;
}

const ICONS = { kill: CircleStop, suspend: CirclePause, deny: Ban, quarantine: FileLock2 };

export function ProcessActions({ endpoint, process, path, isRunning }: Props) {
  const act = useActing();
  const { client, id, host_name } = endpoint;
  if (!useMayAct(client)) return null;
  const { sha256 } = process;
  const all: [name: DeedName & keyof typeof ICONS, words: string, subject: Subject | null][] = [
    ['kill', 'End it …', isRunning ? { process } : null],
    ['suspend', 'Suspend it …', isRunning ? { process } : null],
    // By its content it is the same program wherever it is copied to.
    ['deny', 'Deny the program …', sha256 ? { sha256 } : path ? { path } : null],
    ['quarantine', 'Quarantine the program …', path ? { path, ...(sha256 ? { sha256 } : {}) } : null],
  ];
  return (
    <div className="row deeds">
      {all.map(([name, words, subject]) => {
        const Icon = ICONS[name];
        return subject ? (
          <Button key={name} className="button" onPress={() => act({ deed: name, client, endpoints: [{ id, host_name }], subject })}>
            <Icon size={15} aria-hidden /> {words}
          </Button>
        ) : null;
      })}
    </div>
  );
}
