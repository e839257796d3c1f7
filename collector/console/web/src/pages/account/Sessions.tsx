// Where one is signed in, and ending it.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { LogOut } from 'lucide-react';
import { Button } from 'react-aria-components';

import { api, take } from '../../api/client';
import type { Session } from '../../api/types';
import { Badge } from '../../parts/Mark';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { PanelRefusal } from '../../parts/Refusal';
import { Ago } from '../../parts/Time';

const WAYS: Record<Session['way'], string> = {
  key: 'the operator’s key',
  password: 'a password and a code',
  recovery: 'a password and a recovery code',
  passkey: 'a passkey',
};

const KEY = ['account', 'sessions'];

export function Sessions() {
  const queries = useQueryClient();
  const asked = useQuery({ queryKey: KEY, queryFn: () => take(api.GET('/api/v1/sessions')) });
  const changed = () => queries.invalidateQueries({ queryKey: KEY });
  const end = useMutation({
    mutationFn: (id: string) => api.DELETE('/api/v1/sessions/{id}', { params: { path: { id } } }),
    onSuccess: changed,
  });
  const endOthers = useMutation({
    mutationFn: () => api.DELETE('/api/v1/sessions', { params: { query: { keep_this: true } } }),
    onSuccess: changed,
  });
  return (
    <Panel
      title="Sessions"
      flush
      aside={
        (asked.data?.items.length ?? 0) > 1 ? (
          <Button className="link" onPress={() => endOthers.mutate()}>
            <LogOut size={14} aria-hidden /> End all others
          </Button>
        ) : null
      }
    >
      <Answer asked={asked}>
        {({ items }) => (
          <div className="scroll-x">
            <table className="plain-table in-cards">
              <thead>
                <tr>
                  <th>Signed in with</th>
                  <th>From</th>
                  <th>Program</th>
                  <th>Used</th>
                  <th>Ends</th>
                  <th>
                    <span className="unseen">End it</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {items.map((one) => (
                  <tr key={one.id}>
                    <td data-head="Signed in with">
                      {WAYS[one.way]} {one.this ? <Badge tone="good">this one</Badge> : null}
                    </td>
                    <td data-head="From">
                      <code>{one.address}</code>
                    </td>
                    <td data-head="Program" className="agent">{one.agent}</td>
                    <td data-head="Used">
                      <Ago at={one.used_at} />
                    </td>
                    <td data-head="Ends">
                      <Ago at={one.ends_at} />
                    </td>
                    <td data-head="End it">
                      {one.this ? null : (
                        <Button className="link" onPress={() => end.mutate(one.id)}>
                          End
                        </Button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Answer>
      <PanelRefusal error={end.error ?? endOthers.error} />
    </Panel>
  );
}
