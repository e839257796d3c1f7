// A text that is handed on once typing pauses, so that not every letter asks the collector.

import { useEffect, useState } from 'react';

const PAUSE_MS = 250;

export function useTyped(value: string, change: (value: string) => void): [string, (value: string) => void] {
  const [typed, setTyped] = useState(value);
  const [handed, setHanded] = useState(value);
  // It was changed from elsewhere: by going back, or by a saved filter.
  if (value !== handed) {
    setHanded(value);
    setTyped(value);
  }
  useEffect(() => {
    if (typed === value) return;
    const waiting = setTimeout(() => change(typed), PAUSE_MS);
    return () => clearTimeout(waiting);
  });
  return [typed, setTyped];
}
