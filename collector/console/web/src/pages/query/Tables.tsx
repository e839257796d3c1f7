// What can be asked, beside the editor: every table with its columns. A press writes its name.

import { KeyRound, Table2 } from 'lucide-react';
import { Button } from 'react-aria-components';

import { TABLES, wantsKey } from './schema';

export function Tables({ insert }: { insert: (name: string) => void }) {
  return (
    <section className="panel tables" aria-label="Tables">
      <div className="panel-head">
        <h2>Tables</h2>
      </div>
      <div className="tables-list">
        {TABLES.map((table) => (
          <details key={table.name}>
            <summary title={table.about}>
              <Table2 size={14} aria-hidden /> <code>{table.name}</code>
              {wantsKey(table) ? <KeyRound size={12} aria-label="wants to know which" /> : null}
            </summary>
            <p className="note">{table.about}</p>
            <ul>
              {table.columns.map((column) => (
                <li key={column.name}>
                  <Button className="column-name" onPress={() => insert(column.name)} aria-label={`Write ${column.name}`}>
                    <code>{column.name}</code>
                  </Button>
                  <span className="note">{column.about}</span>
                </li>
              ))}
            </ul>
            <Button className="link" onPress={() => insert(table.name)}>
              Write {table.name}
            </Button>
          </details>
        ))}
      </div>
    </section>
  );
}
