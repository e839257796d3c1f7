// Every page and its address. All that belongs to a client stands under `/c/CLIENT`, so that an
// address names whose it is and a page cannot mix two.

import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';

import { NotFound } from './pages/NotFound';
import { Overview } from './pages/Overview';
import { SignIn } from './pages/SignIn';
import { Shell } from './shell/Shell';

/** Words of an address that are texts; others are dropped. */
type Texts<Name extends string> = { [name in Name]?: string | undefined };

function texts<Name extends string>(...names: Name[]) {
  return (search: Record<string, unknown>): Texts<Name> => {
    const kept: Texts<Name> = {};
    for (const name of names) {
      const value = search[name];
      if (typeof value === 'string' || typeof value === 'number') kept[name] = String(value);
    }
    return kept;
  };
}

const root = createRootRoute({ notFoundComponent: NotFound });

const signIn = createRoute({ getParentRoute: () => root, path: '/sign-in', component: SignIn, validateSearch: texts('to') });
const setUp = createRoute({
  getParentRoute: () => root,
  path: '/set-up',
  component: lazyRouteComponent(() => import('./pages/SetUp'), 'SetUp'),
});

const shell = createRoute({ getParentRoute: () => root, id: 'shell', component: Shell });
const overview = createRoute({ getParentRoute: () => shell, path: '/', component: Overview });
const clients = createRoute({
  getParentRoute: () => shell,
  path: '/clients',
  component: lazyRouteComponent(() => import('./pages/Clients'), 'Clients'),
});
const account = createRoute({
  getParentRoute: () => shell,
  path: '/account',
  component: lazyRouteComponent(() => import('./pages/Account'), 'Account'),
});

const client = createRoute({ getParentRoute: () => shell, path: '/c/$client' });
const clientOverview = createRoute({ getParentRoute: () => client, path: '/', component: Overview });
const endpoints = createRoute({
  getParentRoute: () => client,
  path: '/endpoints',
  validateSearch: texts('text', 'state', 'silence', 'need', 'needs_person', 'os', 'site', 'label', 'criticality', 'contained', 'standing', 'sort', 'order'),
  component: lazyRouteComponent(() => import('./pages/Endpoints'), 'Endpoints'),
});
const endpoint = createRoute({
  getParentRoute: () => client,
  path: '/endpoints/$endpoint',
  validateSearch: texts('tab', 'class', 'text', 'where', 'event', 'process', 'subject', 'back', 'span'),
  component: lazyRouteComponent(() => import('./pages/Endpoint'), 'EndpointPage'),
});
const containments = createRoute({
  getParentRoute: () => client,
  path: '/containments',
  component: lazyRouteComponent(() => import('./pages/Containments'), 'Containments'),
});
const commands = createRoute({
  getParentRoute: () => client,
  path: '/commands',
  component: lazyRouteComponent(() => import('./pages/Commands'), 'Commands'),
});
const command = createRoute({
  getParentRoute: () => client,
  path: '/commands/$command',
  component: lazyRouteComponent(() => import('./pages/Command'), 'CommandPage'),
});
const query = createRoute({
  getParentRoute: () => client,
  path: '/query',
  validateSearch: texts('sql', 'endpoints'),
  component: lazyRouteComponent(() => import('./pages/Query'), 'Query'),
});
const evidence = createRoute({
  getParentRoute: () => client,
  path: '/evidence',
  validateSearch: texts('endpoints', 'class', 'text', 'since', 'until', 'event', 'tab'),
  component: lazyRouteComponent(() => import('./pages/Evidence'), 'Evidence'),
});
const audit = createRoute({
  getParentRoute: () => client,
  path: '/audit',
  validateSearch: texts('who', 'what', 'text'),
  component: lazyRouteComponent(() => import('./pages/Audit'), 'Audit'),
});
const settings = createRoute({
  getParentRoute: () => client,
  path: '/settings',
  validateSearch: texts('tab', 'version', 'from'),
  component: lazyRouteComponent(() => import('./pages/Settings'), 'Settings'),
});

const routeTree = root.addChildren([
  signIn,
  setUp,
  shell.addChildren([
    overview,
    clients,
    account,
    client.addChildren([clientOverview, endpoints, endpoint, containments, commands, command, query, evidence, audit, settings]),
  ]),
]);

export const router = createRouter({ routeTree, defaultPreload: 'intent', scrollRestoration: false });

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
