// Asks live endpoints what they are at this moment: SQL over the agent's tables, signed by the operator,
// answered under the endpoints' own signatures.

import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { Link2 } from 'lucide-react';
import { lazy, Suspense, useCallback, useState } from 'react';
import { Button } from 'react-aria-components';

import { useNamed } from '../parts/named';
import { Page } from '../parts/Page';
import '../styles/query.css';
import { many } from '../words/measure';
import { Answers } from './query/Answers';
import { Ask } from './query/Ask';
import type { Asking } from './query/asking';
import { EXAMPLES } from './query/examples';
import { PastQueries, SavedQueries, ShareLink, usePast } from './query/Kept';
import { USUAL } from './query/Limits';
import { Tables } from './query/Tables';
import { type Question, useAsk } from './query/useAsk';

const Editor = lazy(() => import('./query/Editor'));

export function Query() {
  const { client } = useParams({ from: '/shell/c/$client/query' });
  const search = useSearch({ from: '/shell/c/$client/query' });
  const [question, setQuestion] = useState<Question>({ sql: search.sql ?? '', limits: USUAL, reason: 'live query' });
  const [fromLink, setFromLink] = useState(Boolean(search.sql));
  const navigate = useNavigate({ from: '/c/$client/query' });
  const [chosen, choose] = useNamed(client, search.endpoints, (endpoints) => void navigate({ search: (before) => ({ ...before, endpoints }), replace: true }));
  const [asking, setAsking] = useState<Asking | null>(null);
  const [look, setLook] = useState({ at: 0, times: 0 });
  const [past, keepPast] = usePast(client);
  const change = useCallback((over: Partial<Question>) => setQuestion((before) => ({ ...before, ...over })), []);
  const write = useCallback((sql: string) => change({ sql }), [change]);
  const show = (at: number) => setLook((before) => ({ at, times: before.times + 1 }));
  const use = (sql: string) => {
    setFromLink(false);
    write(sql);
    show(sql.length);
  };
  const asked = (made: Asking) => {
    setFromLink(false);
    setAsking(made);
    keepPast({ sql: made.question.sql, at: new Date().toISOString(), words: many(made.snapshot().tracks.length, 'endpoint') });
  };
  const asks = useAsk(client, question, chosen, asked);
  return (
    <Page
      title="Query"
      lead="Asks endpoints what they are right now. It only reads; what comes back is signed by each endpoint and kept by nobody."
      actions={
        <>
          <SavedQueries client={client} sql={question.sql} use={use} />
          <PastQueries past={past} use={use} />
          <ShareLink client={client} sql={question.sql} />
        </>
      }
    >
      {fromLink ? (
        <p className="from-link" role="note">
          <Link2 size={16} aria-hidden /> This query came with a link. Read it before you sign it; nothing was asked yet.
        </p>
      ) : null}
      <div className="query-desk">
        <section className="panel flush editor-panel" aria-label="Question">
          <Suspense fallback={<div className="sql-editor" />}>
            <Editor value={question.sql} onChange={write} onRun={asks.ask} look={look.times > 0 ? look : undefined} />
          </Suspense>
          <Ask client={client} question={question} change={change} chosen={chosen} choose={choose} asks={asks} />
        </section>
        <Tables insert={(name) => write(question.sql === '' || /\s$/.test(question.sql) ? `${question.sql}${name}` : `${question.sql} ${name}`)} />
      </div>
      {asking ? (
        <Answers key={asking.question.command} asking={asking} timeMs={question.limits.timeMs} look={show} />
      ) : (
        <Examples use={use} />
      )}
    </Page>
  );
}

function Examples({ use }: { use: (sql: string) => void }) {
  return (
    <section className="examples" aria-label="Examples">
      <h2>To begin with</h2>
      <ul>
        {EXAMPLES.map((example) => (
          <li key={example.title}>
            <Button className="example" onPress={() => use(example.sql)}>
              <span className="example-title">{example.title}</span>
              <span className="note">{example.why}</span>
              <code>{example.sql}</code>
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}
