// Changing how one signs in asks for the password and a code once more: a page left open is not its
// person.

import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';

import { api, Problem } from '../api/client';
import { Input } from './Input';

/** Whether a refusal asks for that. */
export function asksForProof(error: Error | null): boolean {
  return error instanceof Problem && error.kind === 'prove-again';
}

export function Prove({ done, close }: { done: () => void; close: () => void }) {
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const prove = useMutation({
    mutationFn: () => api.POST('/api/v1/session/proof', { body: { password, code: code.replaceAll(/\s/g, '') } }),
    onSuccess: done,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    prove.mutate();
  };
  return (
    <ModalOverlay className="overlay" isOpen onOpenChange={(open) => (open ? undefined : close())} isDismissable>
      <Modal className="modal">
        <Dialog className="dialog">
          <Heading slot="title">Is it you?</Heading>
          <p className="panel-words">This changes how you sign in, so it asks once more.</p>
          <form onSubmit={submit} className="form">
            <Input label="Password" type="password" value={password} onChange={setPassword} autoComplete="current-password" isRequired autoFocus />
            <Input label="Code" value={code} onChange={setCode} inputMode="numeric" autoComplete="one-time-code" isRequired hint="Six digits, from your authenticator app; each counts once." />
            {prove.error ? (
              <p className="refusal" role="alert">
                {prove.error.message}
              </p>
            ) : null}
            <div className="row">
              <Button type="submit" className="button primary" isPending={prove.isPending}>
                Go on
              </Button>
              <Button slot="close" className="button">
                Cancel
              </Button>
            </div>
          </form>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
