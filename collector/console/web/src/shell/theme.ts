// Dark or light: as the system says, or as the person chose here.

import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'dark' | 'light';

const KEY = 'cordon.theme';
const listeners = new Set<() => void>();

function read(): Theme {
  const stored = localStorage.getItem(KEY);
  return stored === 'dark' || stored === 'light' ? stored : 'system';
}

/** Puts what was chosen onto the page. */
export function applyTheme() {
  document.documentElement.dataset['theme'] = read();
}

export function setTheme(theme: Theme) {
  localStorage.setItem(KEY, theme);
  applyTheme();
  listeners.forEach((told) => told());
}

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, read);
}
