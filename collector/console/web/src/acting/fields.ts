// What dialogs ask for beside the reason: each field with its label and what is true of it at first.

export type Values = Record<string, string | boolean | string[]>;

interface Common {
  key: string;
  label: string;
  hint?: string;
  /** Behind “More”. */
  isRare?: boolean;
}

export type Field =
  | (Common & { kind: 'text'; isRequired?: boolean; placeholder?: string })
  | (Common & { kind: 'lines'; placeholder?: string })
  | (Common & { kind: 'choice'; options: [value: string, words: string][]; first?: string })
  | (Common & { kind: 'check' })
  | (Common & { kind: 'checks'; options: [value: string, words: string][]; first: string[] });

const HOURS: [string, string][] = [['1h', '1 hour'], ['4h', '4 hours'], ['24h', '1 day'], ['72h', '3 days'], ['168h', '7 days']];

const choice = (first: string, options: [string, string][]): Field => ({
  kind: 'choice', key: 'lease', label: 'Stands for', options, first, hint: 'In the endpoint’s own time, which goes on while it sleeps',
});

/** A lease that there must be. */
export const lease = (first: string) => choice(first, HOURS);

/** A lease, or none. */
export const leaseOr = (first: string) => choice(first, [['none', 'Until it is undone'], ...HOURS]);

export const AT_END: Field = {
  kind: 'choice', key: 'at_end', label: 'When its time is up', isRare: true,
  options: [['let_back', 'It is let back'], ['stay', 'It stays cut off until a signed release']],
};

export const IF_UNPROVED: Field = {
  kind: 'choice', key: 'if_unproved', label: 'If it cannot be proved', isRare: true,
  options: [['hold', 'It stands all the same'], ['release', 'It is undone (who blocks the collector can wait for that)']],
};

export const ACCEPT_LOSS: Field = {
  kind: 'check', key: 'accept_loss', label: 'Go on even if something that the endpoint needs cannot be kept open', isRare: true,
};

export const TREE = (label: string): Field => ({ kind: 'check', key: 'tree', label });

export const PROGRAM: Field[] = [
  { kind: 'text', key: 'path', label: 'Path', hint: 'Whatever is there, whatever it contains', placeholder: '/tmp/.x/kworker' },
  { kind: 'text', key: 'sha256', label: 'or SHA-256', hint: 'Whatever has this content, wherever it is' },
];

export const EXCEPT: Field = {
  kind: 'lines', key: 'except', label: 'But not', hint: 'Addresses and networks that still pass: name your jump hosts', placeholder: '10.0.0.5',
};

export const BLOCKED: Field[] = [
  { kind: 'lines', key: 'peers', label: 'Addresses, networks, names', hint: 'One a line: 203.0.113.7, 2001:db8::/48, *.evil.example', placeholder: '203.0.113.7' },
  { kind: 'lines', key: 'ports', label: 'Only these ports', hint: 'As tcp/445 or udp/137-139; without, nothing passes at all', placeholder: 'tcp/445' },
  {
    kind: 'choice', key: 'direction', label: 'On whose side the ports are',
    options: [['both', 'On either'], ['in', 'Here: what comes in'], ['out', 'There: what goes out']],
  },
  { ...EXCEPT, isRare: true },
];

export const USER: Field = { kind: 'text', key: 'user', label: 'Account', isRequired: true };
export const END_SESSIONS: Field = { kind: 'check', key: 'end_sessions', label: 'End all that runs as it, too' };
export const UNIT: Field = { kind: 'text', key: 'unit', label: 'Service', hint: 'Without an ending it is a .service', placeholder: 'nginx', isRequired: true };
export const DISABLE: Field = { kind: 'check', key: 'disable', label: 'Keep it from starting again, by hand or at boot' };

export const COLLECTED: Field[] = [
  {
    kind: 'checks', key: 'sources', label: 'What the endpoint knows of itself',
    options: [['processes', 'Processes'], ['sockets', 'Sockets'], ['sessions', 'Sessions'], ['autoruns', 'Autoruns'], ['packages', 'Packages'], ['logs', 'Logs']],
    first: ['processes', 'sockets', 'sessions', 'autoruns', 'packages'],
  },
  { kind: 'lines', key: 'globs', label: 'Files', hint: 'Absolute patterns, one a line: * and ? within a name, ** for any folders', placeholder: '/var/www/**/*.php' },
  {
    kind: 'choice', key: 'bytes_max', label: 'At most', first: '268435456', hint: 'Before compression',
    options: [['67108864', '64 MiB'], ['268435456', '256 MiB'], ['1073741824', '1 GiB'], ['4294967296', '4 GiB']],
  },
];

export const UNSEALED: Field = {
  kind: 'check', key: 'unsealed', isRare: true,
  label: 'Let it leave unsealed where nobody who may collect has a sealing key', hint: 'Then whoever has the collector’s disk can read it',
};

/** What is true of the fields before anybody touches them. */
export function first(fields: Field[]): Values {
  return Object.fromEntries(
    fields.map((field): [string, Values[string]] => {
      switch (field.kind) {
        case 'check':
          return [field.key, false];
        case 'checks':
          return [field.key, field.first];
        case 'choice':
          return [field.key, field.first ?? field.options[0]?.[0] ?? ''];
        case 'text':
        case 'lines':
          return [field.key, ''];
      }
    }),
  );
}
