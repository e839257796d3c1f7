// One event, proved here: the collector gives what proves it, and this browser does the sums.

import { useQuery } from '@tanstack/react-query';
import { CircleCheck, CircleX } from 'lucide-react';

import { api, take } from '../../api/client';
import type { EventShown } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Answer } from '../../parts/Notice';
import { fromBase64url } from '../../proof/bytes';
import { whyNot } from '../../proof/cose';
import { type Proved, proveEvent, written } from '../../proof/event';
import '../../styles/evidence.css';
import { milliseconds } from '../../words/time';
import { Raw } from '../endpoint/EventDrawer';

async function prove(event: EventShown): Promise<Proved> {
  const cannot = await whyNot();
  if (cannot) throw new Error(cannot);
  const { lane, epoch, sequence } = event.metadata;
  const endpoint = event.device.uid;
  const params = { path: { id: endpoint }, query: { lane, epoch, seq: Number(sequence) } };
  const given = await take(api.GET('/api/v1/endpoints/{id}/proof', { params }));
  const asked = { endpoint, lane, epoch, seq: sequence, class: event.class, shownMs: milliseconds(event.time_dt) };
  return proveEvent(asked, fromBase64url(given.key), fromBase64url(given.proof));
}

export default function ProveEvent({ client, event }: { client: string; event: EventShown }) {
  const proved = useQuery({ queryKey: [client, 'proof', event.metadata.uid], queryFn: () => prove(event), staleTime: Infinity, retry: false });
  return (
    <section className="proof" aria-label="Proof">
      <Answer asked={proved} rows={4}>
        {({ steps, holds, signed }) => (
          <>
            <p className={holds ? 'verdict good' : 'verdict bad'}>
              {holds ? <CircleCheck size={18} aria-hidden /> : <CircleX size={18} aria-hidden />}
              <strong>{holds ? 'Proved' : 'NOT proved'}</strong>
            </p>
            <ol className="steps">
              {steps.map((step) => (
                <li key={step.name} className={step.holds ? 'good' : 'bad'}>
                  <span className="holds">{step.name}</span>
                  <Foreign text={step.words} max={500} />
                </li>
              ))}
            </ol>
            {signed === null ? null : (
              <details className="more">
                <summary>What was signed, field by field</summary>
                <Raw text={written(signed)} />
              </details>
            )}
            <p className="note">The fields above are the collector’s reading of these bytes. This page came from the collector, too: to prove it to others, export the event’s time as evidence and run `cordon verify`.</p>
          </>
        )}
      </Answer>
    </section>
  );
}
