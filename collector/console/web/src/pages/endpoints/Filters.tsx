// What the list of endpoints is narrowed by; all of it stands in the address.

import { useQuery } from '@tanstack/react-query';
import { Search as Glass, X } from 'lucide-react';
import { Button } from 'react-aria-components';

import { counts } from '../../api/queries';
import { Choice } from '../../parts/Input';
import { useTyped } from '../../shell/typed';

export interface Search {
  text?: string | undefined;
  state?: string | undefined;
  os?: string | undefined;
  site?: string | undefined;
  label?: string | undefined;
  criticality?: string | undefined;
  contained?: string | undefined;
  standing?: string | undefined;
  sort?: string | undefined;
  order?: string | undefined;
}

const NARROWING = ['text', 'state', 'os', 'site', 'label', 'criticality', 'contained', 'standing'] as const;

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
      <Choice label="State" value={search.state ?? ''} onChange={set('state')} options={[['', 'Any state'], ['online', 'Online'], ['offline', 'Silent']]} />
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
