// How far a signature is: the window that was opened, what it waits for, and why there is none.

import { useCallback, useEffect, useRef, useState } from 'react';

import type { How, Step } from './signer';

export interface Signing {
  /** None while nothing is being signed. */
  step: Step | null;
  error: Error | null;
  /** To be called within a press: a window opens. */
  sign: <T>(run: (how: How) => Promise<T>, then: (made: T) => void) => void;
  /** Calls it off and closes the window. */
  stop: () => void;
}

export function useSigning(): Signing {
  const [step, setStep] = useState<Step | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const off = useRef<AbortController | null>(null);
  useEffect(() => () => off.current?.abort(), []);
  const sign = useCallback(<T,>(run: (how: How) => Promise<T>, then: (made: T) => void) => {
    const mine = new AbortController();
    off.current?.abort();
    off.current = mine;
    setError(null);
    setStep('opening');
    run({ signal: mine.signal, step: setStep })
      .then(then)
      .catch((failed: unknown) => {
        if (!mine.signal.aborted) setError(failed instanceof Error ? failed : new Error(String(failed)));
      })
      .finally(() => {
        if (off.current === mine) setStep(null);
      });
  }, []);
  const stop = useCallback(() => off.current?.abort(), []);
  return { step, error, sign, stop };
}
