// Starts the console.

import '@fontsource-variable/inter';
import '@fontsource-variable/jetbrains-mono';
import './styles/tokens.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/parts.css';
import './styles/forms.css';
import './styles/table.css';
import './styles/pages.css';
import './styles/track.css';
import './styles/process.css';
import './styles/fleet.css';
import './styles/charts.css';
import './styles/acting.css';

import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { Problem } from './api/client';
import { router } from './router';
import { applyTheme } from './shell/theme';

applyTheme();

/** Whoever is signed out by the collector is asked to sign in, and comes back to where he was. */
function signedOut(error: Error) {
  if (!(error instanceof Problem) || error.status !== 401) return;
  if (error.kind !== 'signed-out') return;
  const { pathname, href } = router.state.location;
  if (pathname !== '/sign-in' && pathname !== '/set-up') {
    void router.navigate({ to: '/sign-in', search: pathname === '/' ? {} : { to: href } });
  }
}

const queries = new QueryClient({
  queryCache: new QueryCache({ onError: signedOut }),
  mutationCache: new MutationCache({ onError: signedOut }),
  defaultOptions: {
    queries: {
      // What was refused is refused again; only what was not reached is worth another try.
      retry: (failures, error) => failures < 2 && error instanceof Problem && (error.status === 0 || error.status >= 500),
      staleTime: 2_000,
    },
  },
});

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
