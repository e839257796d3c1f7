// What holds for a client: its people, its rosters, its policies, its tokens.

import { Link, useParams, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import { Page } from '../parts/Page';
import { ApiTokens } from './account/ApiTokens';
import { Operators } from './settings/Operators';
import { Policies } from './settings/Policies';
import { Rosters } from './settings/Rosters';
import { Tokens } from './settings/Tokens';

const TABS: { key: string; name: string; show: (client: string) => ReactNode }[] = [
  { key: '', name: 'Operators', show: (client) => <Operators client={client} /> },
  { key: 'rosters', name: 'Rosters', show: (client) => <Rosters client={client} /> },
  { key: 'policies', name: 'Policies', show: (client) => <Policies client={client} /> },
  { key: 'tokens', name: 'Enrolment tokens', show: (client) => <Tokens client={client} /> },
  { key: 'api-tokens', name: 'API tokens', show: (client) => <ApiTokens client={client} /> },
];

export function Settings() {
  const { client } = useParams({ from: '/shell/c/$client/settings' });
  const { tab = '' } = useSearch({ from: '/shell/c/$client/settings' });
  const chosen = TABS.find((one) => one.key === tab) ?? TABS[0];
  return (
    <Page title="Settings" lead={`What holds for ${client}`}>
      <nav className="tabs" aria-label="Settings">
        {TABS.map(({ key, name }) => (
          <Link key={key} to="." search={{ tab: key || undefined }} className="tab" activeOptions={{ includeSearch: true, explicitUndefined: true }}>
            {name}
          </Link>
        ))}
      </nav>
      {chosen?.show(client)}
    </Page>
  );
}
