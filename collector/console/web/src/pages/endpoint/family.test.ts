import { expect, test } from 'vitest';

import type { EventShown } from '../../api/types';
import { type Branch, branch, family, name, place } from './family';

function launch(pid: number, path: string, ancestry: number[], at = pid): EventShown {
  return {
    class: 'process',
    activity_name: 'Launch',
    time_dt: new Date(at * 1000).toISOString(),
    process: {
      pid,
      start_boot_ns: String(pid),
      file: { path },
      ancestry: ancestry.map((one) => ({ pid: one, start_boot_ns: String(one) })),
    },
  } as unknown as EventShown;
}

const EVENTS = [launch(10, '/bin/sh', [5, 1]), launch(11, '/usr/bin/curl', [10, 5, 1]), launch(12, '/bin/tar', [10, 5, 1]), launch(20, '/bin/ls', [5, 1])];

function drawn(top: Branch | null): string {
  if (!top) return 'nothing';
  const below = [...top.children.map(drawn), ...(top.hidden > 0 ? [`+${top.hidden}`] : [])];
  return `${name(top.process)}${below.length > 0 ? `(${below.join(' ')})` : ''}`;
}

function check(events: EventShown[], key: string, expected: string) {
  expect(drawn(branch(family(events), key))).toBe(expected);
}

test('a process is drawn with its line of ancestors and all below it', () => {
  check(EVENTS, '10@10', 'pid 1(pid 5(sh(curl tar) +1))');
});

test('a leaf is drawn with the line that leads to it', () => {
  check(EVENTS, '11@11', 'pid 1(pid 5(sh(curl +1) +1))');
});

test('a number that is used again is another process', () => {
  const again = { ...launch(11, '/bin/evil', [1], 99) } as unknown as { process: { start_boot_ns: string } };
  again.process = { ...again.process, start_boot_ns: '99' };
  check([...EVENTS, again as unknown as EventShown], '11@99', 'pid 1(evil +1)');
});

test('a process that runs another program shows the newest', () => {
  check([launch(10, '/bin/sh', []), launch(10, '/bin/nginx', [], 11)], '10@10', 'nginx');
});

test('who is not known is not drawn', () => {
  check(EVENTS, '77@77', 'nothing');
});

test('generations stand one after the other, and nothing overlaps', () => {
  const top = branch(family(EVENTS), '10@10');
  const { nodes } = place(top as Branch);
  expect(nodes).toHaveLength(5);
  expect(new Set(nodes.map((node) => `${node.x} ${node.y}`)).size).toBe(5);
  expect(nodes.every((node) => node.parent === null || node.parent.x < node.x)).toBe(true);
});
