// Passkeys that sign one in here. They sign no commands: those keys live at a signing origin.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Fingerprint, KeyRound, Trash2 } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Button } from 'react-aria-components';

import { api, take } from '../../api/client';
import { makePasskey, passkeyWords } from '../../api/passkey';
import { Input } from '../../parts/Input';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { asksForProof, Prove } from '../../parts/Prove';
import { Ago, Moment } from '../../parts/Time';

const KEY = ['account', 'passkeys'];

export function Passkeys() {
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const asked = useQuery({ queryKey: KEY, queryFn: () => take(api.GET('/api/v1/account/passkeys')) });
  const changed = () => queries.invalidateQueries({ queryKey: KEY });
  const make = useMutation({
    mutationFn: () => makePasskey(name.trim()),
    onSuccess: async () => {
      setName('');
      await changed();
    },
  });
  const remove = useMutation({
    mutationFn: (id: string) => api.DELETE('/api/v1/account/passkeys/{id}', { params: { path: { id } } }),
    onSuccess: changed,
  });
  const refused = [make, remove].find((one) => asksForProof(one.error));
  const error = [make.error, remove.error].find((one) => one && !asksForProof(one));
  const again = () => {
    if (refused === remove && remove.variables) remove.mutate(remove.variables);
    else if (refused) make.mutate();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate();
  };
  return (
    <Panel title="Passkeys">
      <Answer asked={asked}>
        {({ items }) => (
          <>
            {items.length === 0 ? <p className="faint">None yet. A passkey signs you in with your fingerprint or your security key, and cannot be phished.</p> : null}
            <ul className="things">
              {items.map((one) => (
                <li key={one.id}>
                  <KeyRound size={16} aria-hidden />
                  <span className="thing-words">
                    <strong>{one.name}</strong>
                    <span className="faint">
                      made <Moment at={one.made_at} />, used <Ago at={one.used_at} />
                    </span>
                  </span>
                  <Button className="icon-button" aria-label={`Take ${one.name} away`} onPress={() => remove.mutate(one.id)}>
                    <Trash2 size={15} />
                  </Button>
                </li>
              ))}
            </ul>
          </>
        )}
      </Answer>
      <form onSubmit={submit} className="save">
        <Input label="Name of a new passkey" value={name} onChange={setName} placeholder="Security key, laptop …" autoComplete="off" />
        <Button type="submit" className="button" isDisabled={name.trim() === ''} isPending={make.isPending}>
          <Fingerprint size={15} aria-hidden /> Make
        </Button>
      </form>
      {error ? (
        <p className="refusal" role="alert">
          {passkeyWords(error)}
        </p>
      ) : null}
      {refused ? <Prove done={again} close={() => refused.reset()} /> : null}
    </Panel>
  );
}
