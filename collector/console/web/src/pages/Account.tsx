// One's own way in: passkeys, sessions, API tokens.

import { useQuery } from '@tanstack/react-query';

import { api, take } from '../api/client';
import { session } from '../api/queries';
import { Command } from '../parts/Copy';
import { Answer } from '../parts/Notice';
import { Field, Fields, Page, Panel } from '../parts/Page';
import { Moment } from '../parts/Time';
import { ApiTokens } from './account/ApiTokens';
import { Passkeys } from './account/Passkeys';
import { Sessions } from './account/Sessions';

const account = {
  queryKey: ['account'],
  queryFn: () => take(api.GET('/api/v1/account')),
};

export function Account() {
  const current = useQuery(session);
  const own = useQuery(account);
  return (
    <Page title="Your account">
      <div className="columns">
        <Panel title="Who you are">
          <Answer asked={current}>
            {(found) => (
              <Fields>
                <Field name="Operator">
                  <strong>{found.operator}</strong>
                </Field>
                <Field name="Key">
                  <code title={found.key}>{found.key.slice(0, 16)}…</code>
                </Field>
                <Field name="Clients">{found.clients.map((seat) => `${seat.id} (${seat.role})`).join(', ')}</Field>
                <Field name="Signs in as">{own.data?.account?.name ?? 'no name: with the key alone'}</Field>
                {own.data?.account ? (
                  <>
                    <Field name="Set up">
                      <Moment at={own.data.account.made_at} />
                    </Field>
                    <Field name="Recovery codes">{own.data.account.recovery_codes_left} left</Field>
                  </>
                ) : null}
              </Fields>
            )}
          </Answer>
          <details className="more">
            <summary>Change your password, app or recovery codes</summary>
            <Command text="cordon account --help" />
          </details>
        </Panel>
        <Passkeys />
      </div>
      <Sessions />
      <ApiTokens />
    </Page>
  );
}
