// Takes what endpoints signed out of the collector as a file that proves itself, and checks such files.

import { useMutation } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { FileCheck2, FileDown } from 'lucide-react';
import { useMemo, useState } from 'react';
import { Button, FileTrigger } from 'react-aria-components';

import { Choice } from '../parts/Input';
import { useNamed } from '../parts/named';
import { Page, Panel } from '../parts/Page';
import { Pick } from '../parts/Pick';
import { Refusal } from '../parts/Refusal';
import { useTyped } from '../shell/typed';
import '../styles/evidence.css';
import { bytes } from '../words/measure';
import { CLASSES } from '../words/summary';
import { Collections } from './evidence/Collections';
import { chosenFile, exportBundle, type File } from './evidence/file';
import { Preview } from './evidence/Preview';
import { before, fromField, SPAN_USUAL, SPANS, type Span, toField } from './evidence/span';
import { Verified } from './evidence/Verified';
import { save } from './query/save';

const ROUTE = '/shell/c/$client/evidence';

const TABS = [
  ['', 'Export'],
  ['verify', 'Verify a file'],
  ['collections', 'Collections'],
] as const;

export function Evidence() {
  const { client } = useParams({ from: ROUTE });
  const { tab = '' } = useSearch({ from: ROUTE });
  return (
    <Page title="Evidence" lead="What endpoints signed, in a file that proves itself: to anybody, without this collector.">
      <nav className="tabs" aria-label="Evidence">
        {TABS.map(([key, name]) => (
          <Link key={key} to="." search={{ tab: key || undefined }} className="tab" activeOptions={{ includeSearch: true, explicitUndefined: true, exact: true }} {...(tab === key ? { 'aria-current': 'page' as const } : {})}>
            {name}
          </Link>
        ))}
      </nav>
      {tab === 'collections' ? <Collections client={client} /> : tab === 'verify' ? <VerifyFile /> : <Export client={client} />}
    </Page>
  );
}

function Export({ client }: { client: string }) {
  const search = useSearch({ from: ROUTE });
  const navigate = useNavigate({ from: '/c/$client/evidence' });
  const [opened] = useState(() => Date.now());
  const change = (over: Partial<typeof search>) => {
    const next = Object.fromEntries(Object.entries({ ...search, ...over }).filter(([, value]) => value));
    void navigate({ search: next, replace: true });
  };
  const [chosen, choose] = useNamed(client, search.endpoints, (endpoints) => change({ endpoints }));
  const span: Span = useMemo(() => {
    const usual = before(SPAN_USUAL, opened);
    return { since: search.since ?? usual.since, until: search.until ?? usual.until };
  }, [search.since, search.until, opened]);
  const [text, setText] = useTyped(search.text ?? '', (value) => change({ text: value }));
  const [file, setFile] = useState<File | null>(null);
  const [received, setReceived] = useState(0);
  const endpoints = chosen.map((one) => one.id);
  const take = useMutation({
    mutationFn: () => exportBundle(client, { endpoints, ...span }, setReceived),
    onMutate: () => setReceived(0),
    onSuccess: (made) => {
      setFile(made);
      save(made.name, made.bytes, 'application/cbor');
    },
  });
  const isBackwards = span.since > span.until;
  return (
    <>
      <Panel title="What to take out">
        <div className="evidence-form">
          <Pick client={client} chosen={chosen} change={choose} most={500} none="Every endpoint of this client." />
          <div className="filters">
            <Choice
              label="Span"
              value=""
              onChange={(name) => {
                const { since, until } = before(name, Date.now());
                change({ since, until });
              }}
              options={[['', 'A span …'], ...SPANS.map(([key, words]): [string, string] => [key, words])]}
            />
            <label className="when">
              <span>From</span>
              <input type="datetime-local" step="1" value={toField(span.since)} onChange={(event) => change({ since: fromField(event.target.value) ?? undefined })} />
            </label>
            <label className="when">
              <span>To</span>
              <input type="datetime-local" step="1" value={toField(span.until)} onChange={(event) => change({ until: fromField(event.target.value) ?? undefined })} />
            </label>
            <Choice label="Class" value={search.class ?? ''} onChange={(value) => change({ class: value })} options={[['', 'Every class'], ...CLASSES.map((name): [string, string] => [name, name])]} />
            <label className="search">
              <span className="unseen">Text in the events</span>
              <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Text in any field" />
            </label>
          </div>
          <div className="row">
            <Button className="button primary" isDisabled={isBackwards} isPending={take.isPending} onPress={() => take.mutate()}>
              <FileDown size={15} aria-hidden /> Export and verify
            </Button>
            <span className="faint" role="status">
              {take.isPending ? (received > 0 ? `${bytes(received)} so far` : 'The collector gathers the evidence …') : isBackwards ? 'The beginning is after the end.' : 'Exporting is written into the audit trail.'}
            </span>
          </div>
          <Refusal error={take.error} />
        </div>
      </Panel>
      {file ? <Verified key={file.made} file={file} /> : null}
      <Preview client={client} endpoints={endpoints} asked={{ class: search.class ?? '', text: search.text ?? '' }} span={span} narrow={change} event={search.event} open={(event) => change({ event })} />
    </>
  );
}

function VerifyFile() {
  const [file, setFile] = useState<File | null>(null);
  const read = useMutation({ mutationFn: chosenFile, onSuccess: setFile });
  const pick = (files: FileList | null) => {
    const [one] = files ?? [];
    if (one) read.mutate(one);
  };
  return (
    <>
      <section
        className="panel drop"
        aria-label="A file of evidence"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          pick(event.dataTransfer.files);
        }}
      >
        <FileCheck2 size={26} strokeWidth={1.5} aria-hidden />
        <p>
          <strong>Choose a file that was exported here, or drop it.</strong>
        </p>
        <p className="note">It stays on this machine: your browser checks it and sends nothing.</p>
        <FileTrigger onSelect={pick}>
          <Button className="button" isPending={read.isPending}>
            Choose a file
          </Button>
        </FileTrigger>
        <Refusal error={read.error} />
      </section>
      {file ? <Verified key={file.made} file={file} /> : null}
    </>
  );
}
