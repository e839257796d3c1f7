// Who is signed in, how the page looks, and the way out.

import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { CircleUser, LogOut, Moon, Sun, SunMoon, UserRound } from 'lucide-react';

import { api } from '../api/client';
import type { Current } from '../api/types';
import { Menu } from '../parts/Menu';
import { type Theme, setTheme, useTheme } from './theme';

const THEMES: [Theme, string, typeof Sun][] = [
  ['system', 'Light or dark as the system', SunMoon],
  ['light', 'Light', Sun],
  ['dark', 'Dark', Moon],
];

export function Person({ current }: { current: Current }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const theme = useTheme();
  const signOut = async () => {
    await api.DELETE('/api/v1/sign-in');
    queries.clear();
    await navigate({ to: '/sign-in' });
  };
  const line = (Icon: typeof Sun, words: string) => (
    <>
      <Icon size={15} aria-hidden />
      <span className="menu-name">{words}</span>
    </>
  );
  return (
    <Menu
      className="person"
      label={`Signed in as ${current.operator}: account, appearance, sign out`}
      items={[
        { id: 'account', text: 'Your account', words: line(UserRound, 'Your account'), act: () => void navigate({ to: '/account' }) },
        ...THEMES.map(([key, words, icon]) => ({
          id: key,
          text: words,
          chosen: key === theme,
          words: line(icon, words),
          act: () => setTheme(key),
        })),
        { id: 'out', text: 'Sign out', words: line(LogOut, 'Sign out'), act: () => void signOut() },
      ]}
    >
      <CircleUser size={18} strokeWidth={1.7} aria-hidden />
      <span className="person-name">{current.operator}</span>
    </Menu>
  );
}
