// Questions that are kept in this browser, for this client: those with a name, and those asked last.

import { Check, History, Link2 } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components';

import { Saved } from '../../parts/Saved';
import { useKept } from '../../shell/kept';
import { moment } from '../../words/time';

interface SavedQuery {
  name: string;
  sql: string;
}

export interface Past {
  sql: string;
  at: string;
  words: string;
}

/** Questions of the past that are kept. */
const PAST_MAX = 30;

const isList =
  <T,>(...names: (keyof T)[]) =>
  (value: unknown): value is T[] =>
    Array.isArray(value) && value.every((one: unknown) => typeof one === 'object' && one !== null && names.every((name) => typeof (one as T)[name] === 'string'));

const isSaved = isList<SavedQuery>('name', 'sql');
const isPast = isList<Past>('sql', 'at', 'words');

export function usePast(client: string): [Past[], (one: Past) => void] {
  const [past, keep] = useKept<Past[]>(`queries.past.${client}`, [], isPast);
  return [past, (one) => keep([one, ...past.filter((other) => other.sql !== one.sql)].slice(0, PAST_MAX))];
}

function Line({ sql, name, side, use }: { sql: string; name?: string; side?: ReactNode; use: () => void }) {
  return (
    <Button className="menu-item kept-query" onPress={use}>
      {name ? <span className="menu-name">{name}</span> : null}
      <code>{sql.replaceAll(/\s+/g, ' ').slice(0, 160)}</code>
      {side}
    </Button>
  );
}

export function SavedQueries({ client, sql, use }: { client: string; sql: string; use: (sql: string) => void }) {
  return (
    <Saved<SavedQuery>
      place={`queries.saved.${client}`}
      isList={isSaved}
      title="Saved queries"
      item={(one, close) => <Line sql={one.sql} name={one.name} use={() => (use(one.sql), close())} />}
      empty="Nothing is saved yet. What you save stays in this browser; a link takes a query to others."
      label="Save this query as"
      shown={sql.trim() === '' ? null : (name) => ({ name, sql })}
      isWide
    />
  );
}

export function PastQueries({ past, use }: { past: Past[]; use: (sql: string) => void }) {
  return (
    <DialogTrigger>
      <Button className="button" isDisabled={past.length === 0}>
        <History size={15} aria-hidden /> History
      </Button>
      <Popover className="popover wide" placement="bottom end">
        <Dialog className="saved" aria-label="Queries asked here">
          {({ close }) => (
            <ul>
              {past.map((one) => (
                <li key={one.sql}>
                  <Line
                    sql={one.sql}
                    use={() => (use(one.sql), close())}
                    side={
                      <span className="faint">
                        {moment(one.at)} · {one.words}
                      </span>
                    }
                  />
                </li>
              ))}
            </ul>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

/** A link that carries the text. It fills the editor of whoever opens it, and asks nothing. */
export function ShareLink({ client, sql }: { client: string; sql: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    const link = new URL(`/c/${client}/query`, window.location.origin);
    link.searchParams.set('sql', JSON.stringify(sql));
    await navigator.clipboard.writeText(link.href);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <Button className="button" isDisabled={sql.trim() === ''} onPress={() => void copy()}>
      {done ? <Check size={15} aria-hidden /> : <Link2 size={15} aria-hidden />} {done ? 'Copied' : 'Copy link'}
    </Button>
  );
}
