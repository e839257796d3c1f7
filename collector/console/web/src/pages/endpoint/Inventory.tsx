// What is on an endpoint, subject by subject, and what changed.

import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { PackageSearch, Search as Glass } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

import { events } from '../../api/queries';
import type { EndpointWhole } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Answer, Empty } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { type Column, Table } from '../../parts/Table';
import { Moment } from '../../parts/Time';
import { actionWord } from '../../words/state';
import { type Subject, inventory } from './inventory';

/** Inventories change seldom; more events than these are not looked through. */
const EVENTS_MAX = 2000;

type Item = [string, Record<string, string>];

const COLUMNS: Column<Item>[] = [
  {
    key: 'key',
    title: 'What',
    width: 'minmax(12rem, 1fr)',
    card: 'title',
    cell: ([key]) => (
      <span className="name">
        <Foreign text={key} max={160} />
      </span>
    ),
  },
  { key: 'fields', title: 'As it is', width: 'minmax(16rem, 2fr)', card: 'line', cell: ([, fields]) => <Told fields={fields} /> },
];

function Told({ fields }: { fields: Record<string, string> | null }) {
  const words = Object.entries(fields ?? {}).map(([name, value]) => `${name} ${value}`);
  return <Foreign text={words.join(' · ')} max={400} />;
}

export default function Inventory({ endpoint }: { endpoint: EndpointWhole }) {
  const asked = useQuery(events(endpoint.client, { endpoint: endpoint.id, class: 'inventory' }, EVENTS_MAX));
  const search = useSearch({ from: '/shell/c/$client/endpoints/$endpoint' });
  const navigate = useNavigate({ from: '/c/$client/endpoints/$endpoint' });
  return (
    <Answer asked={asked} rows={8}>
      {({ items }) => {
        const subjects = inventory(items);
        const chosen = subjects.find((one) => one.name === search.subject) ?? subjects.find((one) => one.name === 'packages') ?? subjects[0];
        if (!chosen) {
          return (
            <Empty icon={PackageSearch} title="No inventory yet">
              <p>The agent lists packages, services, users, listeners and more within its first minutes, and tells every change from then on.</p>
            </Empty>
          );
        }
        return (
          <div className="inventory">
            <div className="subjects" role="group" aria-label="Subjects">
              {subjects.map((one) => (
                <Button
                  key={one.name}
                  className="subject"
                  aria-pressed={one === chosen}
                  onPress={() => void navigate({ search: { ...search, subject: one.name }, replace: true })}
                >
                  <span>{actionWord(one.name)}</span>
                  <span className="faint number">{one.items.size}</span>
                </Button>
              ))}
            </div>
            <Shown key={chosen.name} subject={chosen} />
          </div>
        );
      }}
    </Answer>
  );
}

function Shown({ subject }: { subject: Subject }) {
  const [text, setText] = useState('');
  const sought = text.toLowerCase();
  const rows = [...subject.items].filter(([key, fields]) => sought === '' || `${key} ${Object.values(fields).join(' ')}`.toLowerCase().includes(sought));
  return (
    <div className="stack">
      {subject.changes.length > 0 ? (
        <Panel title="What changed" flush>
          <ul className="list sensors">
            {subject.changes.slice(0, 20).map(({ at, change }, index) => (
              <li key={index}>
                <div className="sensor-head">
                  <Badge tone={change.action === 'removed' ? 'bad' : change.action === 'added' ? 'good' : 'warn'}>{change.action}</Badge>
                  <strong>
                    <Foreign text={change.key} max={200} />
                  </strong>
                  <span className="push faint">
                    <Moment at={at} />
                  </span>
                </div>
                <p className="need-detail">
                  {change.before ? <Told fields={change.before} /> : null}
                  {change.before && change.after ? ' → ' : null}
                  {change.after ? <Told fields={change.after} /> : null}
                </p>
              </li>
            ))}
          </ul>
        </Panel>
      ) : null}
      <label className="search" data-search>
        <Glass size={15} aria-hidden />
        <span className="unseen">Look through {subject.name}</span>
        <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder={`Look through ${subject.items.size} entries`} />
      </label>
      {subject.isPart ? <p className="note">The first list is older than what was looked through: there may be more.</p> : null}
      {rows.length > 0 ? (
        <Table label={actionWord(subject.name)} columns={COLUMNS} rows={rows} rowKey={([key]) => key} height="60dvh" />
      ) : (
        <Empty icon={PackageSearch} title={subject.items.size === 0 ? 'There are none' : 'Nothing fits this'} />
      )}
    </div>
  );
}
