// The second person's signature under a command that waits for it.

import { useQueryClient } from '@tanstack/react-query';
import { PenLine } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

import type { Command } from '../api/types';
import { Command as Line } from '../parts/Copy';
import { Refusal } from '../parts/Refusal';
import { signToo } from './bring';
import { type Desk, type Kind, may, useDesk } from './desk';
import { PageChoice, Wait } from './Signing';
import { useMayAct } from './useMayAct';
import { useSigning } from './useSigning';

export function SignToo({ command }: { command: Command }) {
  const { data: desk } = useDesk(command.client);
  const mayAct = useMayAct(command.client);
  const line = <Line text={`cordon command approve ${command.id}`} why="At the terminal" />;
  if (!desk || !mayAct) return line;
  if (command.signed_by.includes(desk.operator)) {
    return <p className="note">You have signed it. Another person opens this page and signs it, too.</p>;
  }
  // A policy is more than the signing page shows.
  if (!may(desk, command.action as Kind) || command.action === 'set_policy' || desk.pages.length === 0) return line;
  return <Signs command={command} desk={desk} />;
}

function Signs({ command, desk }: { command: Command; desk: Desk }) {
  const signing = useSigning();
  const queries = useQueryClient();
  const [page, setPage] = useState(desk.pages[0]);
  if (!page) return null;
  const done = () => void queries.invalidateQueries({ queryKey: [command.client, 'commands'] });
  return (
    <>
      <Refusal error={signing.error} />
      {signing.step ? (
        <Wait signing={signing} page={page} />
      ) : (
        <div className="row">
          <Button className="button primary" onPress={() => signing.sign((how) => signToo(command, desk, { ...how, page }), done)}>
            <PenLine size={15} aria-hidden /> Sign it too
          </Button>
          <PageChoice pages={desk.pages} chosen={page} choose={setPage} />
          <span className="note">Your passkey signs it at {page.origin.replace(/^https?:\/\//, '')}</span>
        </div>
      )}
    </>
  );
}
