// The process that an event of its launch tells of, as a command names it.

import type { EventShown } from '../api/types';
import { programName, word } from '../words/summary';
import type { Subject } from './deeds';

export interface Launched {
  process: NonNullable<Subject['process']>;
  /** Where its program is; empty if that is not known. */
  path: string;
}

export function launched(event: EventShown): Launched {
  const path = word(event, 'process.file.path');
  return {
    path,
    process: {
      pid: Number(word(event, 'process.pid')),
      start_boot_ns: word(event, 'process.start_boot_ns'),
      sha256: sha256(event),
      name: programName(event),
    },
  };
}

/** The hash of its program; empty if that is not known. */
export function sha256(event: EventShown): string {
  const file = (event['process'] as { file?: { hashes?: { algorithm?: string; value?: string }[] } } | undefined)?.file;
  return file?.hashes?.find((one) => one.algorithm === 'SHA-256')?.value ?? '';
}
