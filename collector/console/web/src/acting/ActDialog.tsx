// One dialog for every action: what it does and to which endpoints, what it asks for, what it would
// cut, who must sign; then the signing page, and the command followed until its effect is proved.

import { useState } from 'react';
import { Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';
import { useQueryClient } from '@tanstack/react-query';

import type { Command } from '../api/types';
import { Foreign } from '../parts/Foreign';
import { Failure, Waiting } from '../parts/Notice';
import type { Act, Asked } from './Acting';
import { ActForm } from './ActForm';
import { DEEDS, takingBack } from './deeds';
import { useDesk } from './desk';
import { Following } from './Following';

/** Names in the head; the others are counted. */
const NAMED_MAX = 6;

export default function ActDialog({ asked, act, close }: { asked: Asked; act: Act; close: () => void }) {
  const [made, setMade] = useState<Command | null>(null);
  const desk = useDesk(asked.client);
  const queries = useQueryClient();
  const done = (command: Command) => {
    setMade(command);
    for (const kind of ['commands', 'containments', 'endpoints']) void queries.invalidateQueries({ queryKey: [asked.client, kind] });
  };
  const { title, icon: Icon } = DEEDS[asked.deed];
  const undone = asked.deed === 'undo' && asked.subject?.undo ? takingBack(asked.subject.undo.action).title : title;
  return (
    <ModalOverlay className="overlay" isOpen onOpenChange={(open) => (open ? undefined : close())}>
      <Modal className="modal acting">
        <Dialog className="dialog">
          <header className="act-head">
            <Icon size={22} aria-hidden />
            <div>
              <Heading slot="title">{undone}</Heading>
              <p className="act-whom">
                {asked.endpoints.slice(0, NAMED_MAX).map((endpoint, at) => (
                  <span key={endpoint.id}>
                    {at > 0 ? ', ' : ''}
                    <Foreign text={endpoint.host_name} max={80} />
                  </span>
                ))}
                {asked.endpoints.length > NAMED_MAX ? ` and ${asked.endpoints.length - NAMED_MAX} more` : ''}
              </p>
            </div>
          </header>
          {made ? (
            <Following made={made} act={act} close={close} />
          ) : desk.data ? (
            <ActForm asked={asked} desk={desk.data} done={done} close={close} />
          ) : desk.error ? (
            <Failure error={desk.error} />
          ) : (
            <Waiting rows={5} />
          )}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
