// What people say of an endpoint, changed in place: where it stands, what it is for, how much hangs
// on it. Whoever changes it under an old revision is told that somebody was there before.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Pencil } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Button } from 'react-aria-components';

import { useMayAct } from '../../acting/useMayAct';
import { api, Problem, take } from '../../api/client';
import { sites } from '../../api/queries';
import type { EndpointWhole, NoteChange } from '../../api/types';
import { Choice, Input } from '../../parts/Input';
import { Badge } from '../../parts/Mark';
import { Field, Fields, Panel } from '../../parts/Page';
import { Refusal } from '../../parts/Refusal';
import { words } from '../endpoints/noting';

const NONE = '';

export function Note({ endpoint }: { endpoint: EndpointWhole }) {
  const [isOpen, setOpen] = useState(false);
  const may = useMayAct(endpoint.client);
  const edit = (
    <Button className="icon-button" aria-label="Change what people say of it" onPress={() => setOpen(true)}>
      <Pencil size={15} />
    </Button>
  );
  return (
    <Panel title="What people say of it" aside={may && !isOpen ? edit : null}>
      {isOpen ? <Form endpoint={endpoint} close={() => setOpen(false)} /> : <Said endpoint={endpoint} />}
    </Panel>
  );
}

function Said({ endpoint }: { endpoint: EndpointWhole }) {
  const { client, site, role, criticality, labels } = endpoint;
  return (
    <Fields>
      <Field name="Role">{role || <span className="faint">nobody said</span>}</Field>
      <Field name="Site">
        {site ? (
          <Link to="/c/$client/endpoints" params={{ client }} search={{ site }}>
            {site}
          </Link>
        ) : (
          <span className="faint">none</span>
        )}
      </Field>
      <Field name="Criticality">{criticality}</Field>
      <Field name="Labels">
        {labels.length === 0 ? <span className="faint">none</span> : null}
        {labels.map((label) => (
          <Link key={label} to="/c/$client/endpoints" params={{ client }} search={{ label }}>
            <Badge tone="plain">{label}</Badge>
          </Link>
        ))}
      </Field>
    </Fields>
  );
}

function Form({ endpoint, close }: { endpoint: EndpointWhole; close: () => void }) {
  const { client, id } = endpoint;
  const queries = useQueryClient();
  const known = useQuery(sites(client)).data?.items ?? [];
  const [role, setRole] = useState(endpoint.role);
  const [site, setSite] = useState(endpoint.site ?? NONE);
  const [criticality, setCriticality] = useState<string>(endpoint.criticality);
  const [labels, setLabels] = useState(endpoint.labels.join(', '));
  // What was shown when the form opened is what is changed.
  const [revision] = useState(endpoint.revision);
  const refresh = () => queries.invalidateQueries({ queryKey: [client, 'endpoints'] });
  const change = useMutation({
    mutationFn: () => {
      const body: NoteChange = {
        role: role.trim(),
        site: site === NONE ? null : site,
        criticality: criticality as NonNullable<NoteChange['criticality']>,
        labels: words(labels),
        revision,
      };
      return take(api.PATCH('/api/v1/endpoints/{id}', { params: { path: { id } }, body }));
    },
    onSuccess: async () => {
      await refresh();
      close();
    },
  });
  const isMoved = change.error instanceof Problem && change.error.status === 409;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate();
  };
  const options = known.map((one): [string, string] => [one.name, one.title || one.name]);
  const isListed = site === NONE || known.some((one) => one.name === site);
  return (
    <form className="form" onSubmit={submit}>
      <Input label="Role" value={role} onChange={setRole} placeholder="what it is for" autoComplete="off" autoFocus />
      <Input label="Labels" value={labels} onChange={setLabels} hint="Words with commas between: web, env=prod" autoComplete="off" />
      <div className="row">
        <Choice label="Site" value={site} onChange={setSite} options={[[NONE, 'At no site'], ...(isListed ? [] : [[site, site] as [string, string]]), ...options]} />
        <Choice label="Criticality" value={criticality} onChange={setCriticality} options={[['low', 'Low'], ['normal', 'Normal'], ['high', 'High'], ['critical', 'Critical']]} />
      </div>
      {known.length === 0 ? <p className="hint">This client has no sites yet: cordon site create makes one.</p> : null}
      <Refusal error={change.error} />
      <div className="dialog-acts">
        {isMoved ? (
          <Button
            className="button"
            onPress={() => {
              void refresh();
              close();
            }}
          >
            Show how it is now
          </Button>
        ) : null}
        <Button className="button" onPress={close}>
          Cancel
        </Button>
        <Button type="submit" className="button primary" isPending={change.isPending}>
          Save
        </Button>
      </div>
    </form>
  );
}
