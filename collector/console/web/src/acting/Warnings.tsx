// What is to be known of the endpoints before anything is signed: who cannot hear it now, and who
// could not be let back if everything else failed.

import { KeyRound, TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';

import type { EndpointWhole, Standing } from '../api/types';
import { Command } from '../parts/Copy';
import { Foreign } from '../parts/Foreign';
import { stateOf } from '../words/state';
import type { Deed } from './deeds';

export function Warnings({ deed, looked, queued }: { deed: Deed; looked: EndpointWhole[]; queued: boolean }) {
  const isIsolation = deed.kind === 'isolate';
  return (
    <>
      {looked.map((endpoint) => (
        <div key={endpoint.id} className="act-warnings">
          {endpoint.state === 'online' ? null : (
            <Warning>
              <Name endpoint={endpoint} /> is not connected ({stateOf(endpoint).word.toLowerCase()}).{' '}
              {queued ? 'It will obey when it is back.' : 'It obeys only if it is back before the command is too old, and not after a reboot: under “More” it can be let wait.'}
            </Warning>
          )}
          {isIsolation && (endpoint.standing as unknown as Standing[]).some((one) => one.action === 'isolate') ? (
            <Warning>
              <Name endpoint={endpoint} /> is isolated already: this renews its lease.
            </Warning>
          ) : null}
          {isIsolation ? <WayOut endpoint={endpoint} /> : null}
        </div>
      ))}
    </>
  );
}

const Name = ({ endpoint }: { endpoint: EndpointWhole }) => <Foreign text={endpoint.host_name} max={80} />;

function Warning({ children }: { children: ReactNode }) {
  return (
    <p className="cuts-warning">
      <TriangleAlert size={15} aria-hidden /> <span>{children}</span>
    </p>
  );
}

/** The sealed code that lets it back when nothing else does; it is opened at the terminal alone. */
export function WayOut({ endpoint }: { endpoint: EndpointWhole }) {
  const { way_out: way } = endpoint;
  if (!way || way.is_void) {
    return (
      <Warning>
        {way ? 'The way out stored is void by a newer roster, and the next is not stored yet' : 'No way out is stored'} for <Name endpoint={endpoint} />: if everything else fails, only a signed
        release or the end of its lease lets it back.
      </Warning>
    );
  }
  return (
    <details className="way-out">
      <summary>
        <KeyRound size={14} aria-hidden /> A sealed way out is held for <Name endpoint={endpoint} />; {way.operators.join(', ')} can open it
      </summary>
      <p className="panel-words">
        If the network and everything else fails, the code is opened with the operator’s own key at the terminal, never on this page, and read to somebody who is root at the machine:
      </p>
      <Command text={`cordon break-glass ${endpoint.id.slice(0, 12)}`} />
    </details>
  );
}
