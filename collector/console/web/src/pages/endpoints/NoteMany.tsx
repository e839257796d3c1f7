// Says the same of many endpoints: labels put on and taken away, where they stand, how much hangs on
// them; and then what became of it at each.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Check, CircleAlert } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';

import { sites } from '../../api/queries';
import type { Endpoint } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Choice, Input } from '../../parts/Input';
import { many } from '../../words/measure';
import { type Change, noteAll, type Outcome, words } from './noting';

const KEEP = '';
const NONE = '-';

interface Props {
  client: string;
  endpoints: Endpoint[];
  close: () => void;
}

export function NoteMany({ client, endpoints, close }: Props) {
  const queries = useQueryClient();
  const known = useQuery(sites(client));
  const [add, setAdd] = useState('');
  const [remove, setRemove] = useState('');
  const [site, setSite] = useState(KEEP);
  const [criticality, setCriticality] = useState(KEEP);
  const [outcomes, setOutcomes] = useState<Outcome[] | null>(null);
  const isUnderWay = outcomes !== null && outcomes.length < endpoints.length;
  const change: Change = {
    add: words(add),
    remove: words(remove),
    ...(site === KEEP ? {} : { site: site === NONE ? null : site }),
    ...(criticality === KEEP ? {} : { criticality: criticality as NonNullable<Change['criticality']> }),
  };
  const isNothing = change.add.length + change.remove.length === 0 && site === KEEP && criticality === KEEP;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isNothing) return;
    setOutcomes([]);
    void noteAll(endpoints, change, (outcome) => setOutcomes((before) => [...(before ?? []), outcome])).then(() =>
      queries.invalidateQueries({ queryKey: [client, 'endpoints'] }),
    );
  };
  return (
    <ModalOverlay className="overlay" isOpen onOpenChange={(isOpen) => (isOpen || isUnderWay ? undefined : close())} isDismissable>
      <Modal className="modal">
        <Dialog className="dialog">
          <Heading slot="title">{many(endpoints.length, 'endpoint')}: labels, site, criticality</Heading>
          {outcomes ? (
            <Outcomes outcomes={outcomes} total={endpoints.length} />
          ) : (
            <form id="note-many" className="form" onSubmit={submit}>
              <Input label="Put labels on" value={add} onChange={setAdd} hint="Words with commas between: web, env=prod" autoComplete="off" autoFocus />
              <Input label="Take labels away" value={remove} onChange={setRemove} autoComplete="off" />
              <div className="row">
                <Choice
                  label="Site"
                  value={site}
                  onChange={setSite}
                  options={[[KEEP, 'Site as it is'], [NONE, 'At no site'], ...(known.data?.items ?? []).map((one): [string, string] => [one.name, one.title || one.name])]}
                />
                <Choice
                  label="Criticality"
                  value={criticality}
                  onChange={setCriticality}
                  options={[[KEEP, 'Criticality as it is'], ['critical', 'Critical'], ['high', 'High'], ['normal', 'Normal'], ['low', 'Low']]}
                />
              </div>
              <p className="hint">It helps to find and to weigh, and is in the audit trail. What endpoints obey is decided by signed policy alone.</p>
            </form>
          )}
          <div className="dialog-acts">
            <Button className="button" onPress={close} isDisabled={isUnderWay}>
              {outcomes ? 'Close' : 'Cancel'}
            </Button>
            {outcomes ? null : (
              <Button type="submit" form="note-many" className="button primary" isDisabled={isNothing}>
                Change {many(endpoints.length, 'endpoint')}
              </Button>
            )}
          </div>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

/** Those that were refused first, for they are what is left to do. */
function Outcomes({ outcomes, total }: { outcomes: Outcome[]; total: number }) {
  const refused = outcomes.filter((one) => one.error !== null);
  const sorted = [...refused, ...outcomes.filter((one) => one.error === null)];
  return (
    <>
      <p role="status">
        {outcomes.length < total ? `${outcomes.length} of ${total} …` : `${total - refused.length} done`}
        {refused.length > 0 ? `, ${refused.length} refused` : ''}
      </p>
      <ul className="outcomes" aria-label="What became of each">
        {sorted.map(({ endpoint, error }) => (
          <li key={endpoint.id} className={error === null ? 'good' : 'bad'}>
            {error === null ? <Check size={15} aria-label="Done" /> : <CircleAlert size={15} aria-label="Refused" />}
            <Foreign text={endpoint.host_name} max={60} />
            {error ? <span className="outcome-why">{error}</span> : null}
          </li>
        ))}
      </ul>
    </>
  );
}
