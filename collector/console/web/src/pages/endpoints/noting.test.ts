import { expect, test } from 'vitest';

import type { Endpoint } from '../../api/types';
import { type Change, changeOf, words } from './noting';

const ENDPOINT = { id: 'e', labels: ['prod', 'web'], site: 'hq', criticality: 'normal', revision: 3 } as unknown as Endpoint;

function check(change: Partial<Change>, expected: object | null) {
  expect(changeOf(ENDPOINT, { add: [], remove: [], ...change })).toEqual(expected);
}

test('only what differs is asked for, under the revision that was seen', () => {
  check({ add: ['old'] }, { labels: ['prod', 'web', 'old'], revision: 3 });
  check({ remove: ['web'] }, { labels: ['prod'], revision: 3 });
  check({ remove: ['web'], add: ['db'] }, { labels: ['prod', 'db'], revision: 3 });
  check({ site: null }, { site: null, revision: 3 });
  check({ criticality: 'high' }, { criticality: 'high', revision: 3 });
});

test('what is so already is not asked for', () => {
  check({}, null);
  check({ add: ['web'], remove: ['db'], site: 'hq', criticality: 'normal' }, null);
});

test('labels are words between commas or spaces, in lower case, once', () => {
  expect(words(' Web, env=prod  web,,')).toEqual(['web', 'env=prod']);
  expect(words('')).toEqual([]);
});
