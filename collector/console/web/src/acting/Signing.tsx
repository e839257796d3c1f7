// What is shown while the signing page is asked: that it is open, that it does not answer, that the
// person is reading; and why nothing was signed.

import { LoaderCircle, MonitorX, PenLine } from 'lucide-react';
import type { ReactNode } from 'react';
import { Button } from 'react-aria-components';

import { Command } from '../parts/Copy';
import { Choice } from '../parts/Input';
import type { SigningPage } from './desk';
import type { Step } from './signer';
import type { Signing } from './useSigning';

const PORT = '9443';

/** What starts the page on this machine; nothing for one of another host. */
export function starting(origin: string): string | null {
  const [, port] = /^http:\/\/localhost:(\d+)$/.exec(origin) ?? [];
  if (!port) return null;
  return port === PORT ? 'cordon signer' : `cordon signer --port ${port}`;
}

function words(step: Step, origin: string): ReactNode {
  switch (step) {
    case 'opening':
      return <>Opening the signing page …</>;
    case 'silent':
      return starting(origin) ? <>The signing page does not answer. Start it on this machine; it is tried again by itself.</> : <>The signing page {origin} does not answer. It is tried again by itself.</>;
    case 'asked':
      return <>Read what the signing page shows, in its own window, and sign it there.</>;
    case 'bringing':
      return <>Signed. Handing it over …</>;
  }
}

export function Wait({ signing, page }: { signing: Signing; page: SigningPage }) {
  const { step, stop } = signing;
  if (!step) return null;
  const line = step === 'silent' ? starting(page.origin) : null;
  const Icon = step === 'silent' ? MonitorX : step === 'asked' ? PenLine : LoaderCircle;
  return (
    <div className={`signing ${step}`}>
      <Icon size={22} aria-hidden className={Icon === LoaderCircle ? 'turning' : ''} />
      <div className="signing-words">
        <p role="status">{words(step, page.origin)}</p>
        {line ? <Command text={line} /> : null}
      </div>
      {step === 'bringing' ? null : (
        <Button className="button" onPress={stop}>
          Call off
        </Button>
      )}
    </div>
  );
}

/** Which of several signing pages. */
export function PageChoice({ pages, chosen, choose }: { pages: SigningPage[]; chosen: SigningPage; choose: (page: SigningPage) => void }) {
  if (pages.length < 2) return null;
  const pick = (origin: string) => {
    const page = pages.find((one) => one.origin === origin);
    if (page) choose(page);
  };
  return <Choice label="Signing page" value={chosen.origin} options={pages.map(({ origin }) => [origin, origin])} onChange={pick} />;
}
