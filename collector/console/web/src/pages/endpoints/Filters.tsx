// What the list of endpoints is narrowed by; all of it stands in the address.

import { useQuery } from '@tanstack/react-query';
import { Search as Glass, X } from 'lucide-react';
import { Button } from 'react-aria-components';

import { counts } from '../../api/queries';
import { Choice } from '../../parts/Input';
import { useTyped } from '../../shell/typed';
import { NEEDS } from '../../words/attention';
import { SILENCES } from '../../words/state';
import { NARROWING, type Search } from './question';

/** State, silence and need in one choice: they are one question to whoever asks. */
const STATE_OPTIONS: [string, string][] = [
  ['', 'Any state'],
  ['needs_person', 'Needs a person'],
  ['state:online', 'Online'],
  ['state:offline', 'Silent, whatever the reason'],
  ...SILENCES.map((one): [string, string] => [`silence:${one.key}`, one.word]),
];

/** Those that are not silences, which stand above. */
const NEED_OPTIONS: [string, string][] = NEEDS.filter((need) => !SILENCES.some((one) => one.key === need.name)).map((need) => [`need:${need.name}`, need.word]);

function stateValue(search: Search): string {
  if (search.need) return `need:${search.need}`;
  if (search.needs_person === 'true') return 'needs_person';
  if (search.silence) return `silence:${search.silence}`;
  return search.state ? `state:${search.state}` : '';
}

/** The words of the address for what was chosen. */
function stateWords(value: string): Search {
  const [kind, word] = value.split(':');
  const named = (name: string) => (kind === name ? word : undefined);
  return {
    state: named('state'),
    silence: named('silence'),
    need: named('need'),
    needs_person: kind === 'needs_person' ? 'true' : undefined,
  };
}

export function Filters({ client, search, change }: { client: string; search: Search; change: (search: Search) => void }) {
  const { data: kinds } = useQuery(counts(client));
  const set = (name: keyof Search) => (value: string) => change({ ...search, [name]: value || undefined });
  const [text, setText] = useTyped(search.text ?? '', set('text'));
  const [label, setLabel] = useTyped(search.label ?? '', set('label'));
  const sites = (kinds?.by_site ?? []).flatMap((one) => (one.of?.startsWith(`${client}/`) ? [one.of.slice(client.length + 1)] : []));
  const systems = (kinds?.by_os ?? []).flatMap((one) => (one.of ? [one.of] : []));
  const isNarrowed = NARROWING.some((name) => search[name]);
  return (
    <div className="filters" role="search">
      <label className="search">
        <Glass size={15} aria-hidden />
        <span className="unseen">Look for endpoints</span>
        <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Name, system, role, label" />
      </label>
      <Choice label="State" value={stateValue(search)} onChange={(value) => change({ ...search, ...stateWords(value) })} options={[...STATE_OPTIONS, ...NEED_OPTIONS]} />
      <Choice
        label="Containment"
        value={search.standing ?? (search.contained === 'true' ? '*' : '')}
        onChange={(value) =>
          change({
            ...search,
            contained: value === '*' ? 'true' : undefined,
            standing: value === '*' || value === '' ? undefined : value,
          })
        }
        options={[['', 'Contained or not'], ['*', 'Contained'], ['isolate', 'Isolated'], ['block', 'Blocking'], ['deny', 'Denying programs'], ['lock', 'With locked accounts']]}
      />
      <Choice
        label="Criticality"
        value={search.criticality ?? ''}
        onChange={set('criticality')}
        options={[['', 'Any criticality'], ['critical', 'Critical'], ['high', 'High'], ['normal', 'Normal'], ['low', 'Low']]}
      />
      {systems.length > 1 || search.os ? (
        <Choice label="System" value={search.os ?? ''} onChange={set('os')} options={[['', 'Any system'], ...systems.map((one): [string, string] => [one, one])]} />
      ) : null}
      {sites.some((site) => site !== '') || search.site ? (
        <Choice
          label="Site"
          value={search.site ?? ''}
          onChange={set('site')}
          options={[['', 'Any site'], ...sites.map((site): [string, string] => (site === '' ? ['-', 'At no site'] : [site, site]))]}
        />
      ) : null}
      <label className="search short">
        <span className="unseen">Having labels, with commas between</span>
        <input value={label} onChange={(event) => setLabel(event.target.value)} placeholder="Labels" />
      </label>
      {isNarrowed ? (
        <Button className="link" onPress={() => change({ sort: search.sort, order: search.order })}>
          <X size={14} aria-hidden /> Clear
        </Button>
      ) : null}
    </div>
  );
}
