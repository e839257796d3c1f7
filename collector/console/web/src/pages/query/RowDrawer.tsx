// One row, whole.

import { X } from 'lucide-react';
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';

import { CopyButton } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { cell, object, type Row } from './result';

export function RowDrawer({ row, columns, close }: { row: Row; columns: string[]; close: () => void }) {
  return (
    <ModalOverlay className="overlay at-side" isOpen onOpenChange={(open) => (open ? undefined : close())} isDismissable>
      <Modal className="drawer">
        <Dialog className="dialog">
          <div className="drawer-head">
            <Heading slot="title">
              <Foreign text={row.hostName} max={80} />
            </Heading>
            <Button className="icon-button" aria-label="Close" onPress={close}>
              <X size={18} />
            </Button>
          </div>
          <div className="row">
            <CopyButton text={JSON.stringify(object(columns, row.values), null, 2)} label="Copy the row as JSON" />
          </div>
          <dl className="leaves">
            {columns.map((name, at) => {
              const value = row.values[at] ?? null;
              return (
                <div key={name}>
                  <dt>
                    <Foreign text={name} max={200} />
                  </dt>
                  <dd>{value === null ? <span className="null">null</span> : <Foreign text={cell(value)} />}</dd>
                </div>
              );
            })}
          </dl>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
