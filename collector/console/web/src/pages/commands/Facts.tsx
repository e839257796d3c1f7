// The five facts of a command at one endpoint, and the receipts that show them.

import { FileCheck2 } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

import type { Command, ReceiptPlace, Target } from '../../api/types';
import { Moment } from '../../parts/Time';
import { EventDrawer } from '../endpoint/EventDrawer';
import { Track } from './Track';

export function Facts({ client, command, target }: { client: string; command: Pick<Command, 'waits_for'>; target: Target }) {
  const [receipt, setReceipt] = useState<string | null>(null);
  const receipts = target.receipts as unknown as ReceiptPlace[];
  return (
    <>
      <Track target={target} command={command} />
      {receipts.length > 0 ? (
        <div className="receipts">
          <h3>Receipts</h3>
          {receipts.map((one) => (
            <Button key={`${one.epoch} ${one.seq}`} className="receipt" onPress={() => setReceipt(`${target.endpoint}/${one.lane}/${one.epoch}/${one.seq}`)}>
              <FileCheck2 size={14} aria-hidden /> {one.outcome.replaceAll('_', ' ')} <Moment at={one.at} precise />
            </Button>
          ))}
        </div>
      ) : null}
      {receipt ? <EventDrawer client={client} uid={receipt} close={() => setReceipt(null)} /> : null}
    </>
  );
}
