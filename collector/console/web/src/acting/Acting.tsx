// The way to every dialog that acts on endpoints: pages say what is to be done to which, and one
// dialog at a time is open. It is loaded when it is first asked for.

import { createContext, lazy, type ReactNode, Suspense, useCallback, useContext, useState } from 'react';

import type { DeedName, Subject } from './deeds';
import type { Seen } from './draft';

const ActDialog = lazy(() => import('./ActDialog'));

export interface Asked {
  deed: DeedName;
  client: string;
  /** One or several, each under the name that is shown. */
  endpoints: Seen[];
  subject?: Subject;
}

export type Act = (asked: Asked) => void;

const Context = createContext<Act>(() => {});

/** Opens the dialog for an action. */
export const useActing = (): Act => useContext(Context);

export function ActingProvider({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState<{ asked: Asked; number: number } | null>(null);
  const act = useCallback<Act>((asked) => setOpen((before) => ({ asked, number: (before?.number ?? 0) + 1 })), []);
  return (
    <Context value={act}>
      {children}
      {open ? (
        <Suspense fallback={null}>
          <ActDialog key={open.number} asked={open.asked} act={act} close={() => setOpen(null)} />
        </Suspense>
      ) : null}
    </Context>
  );
}
