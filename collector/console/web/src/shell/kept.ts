// What a person set up on this device: kept in the browser, read defensively, never sent.

import { useState } from 'react';

export function useKept<T>(name: string, initial: T, isFit: (value: unknown) => value is T): [T, (value: T) => void] {
  const key = `cordon.${name}`;
  const [value, setValue] = useState<T>(() => {
    try {
      const stored: unknown = JSON.parse(localStorage.getItem(key) ?? 'null');
      return isFit(stored) ? stored : initial;
    } catch {
      return initial;
    }
  });
  const keep = (next: T) => {
    setValue(next);
    localStorage.setItem(key, JSON.stringify(next));
  };
  return [value, keep];
}
