// A bundle and what it proves, checked in this browser; and how to check it without us.

import { useQuery } from '@tanstack/react-query';
import { CircleCheck, CircleX, Download, ShieldQuestion } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

import { CopyButton, Command } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { Input } from '../../parts/Input';
import { Failure } from '../../parts/Notice';
import { Field, Fields, Panel } from '../../parts/Page';
import { fromBase64url, hex, sha256 } from '../../proof/bytes';
import { type Report, verifyBundle } from '../../proof/bundle';
import { whyNot } from '../../proof/cose';
import { bytes, many } from '../../words/measure';
import { save } from '../query/save';
import type { File } from './file';

interface Checked {
  report: Report;
  digest: string;
}

async function check(file: File, authority: string, told: (words: string) => void): Promise<Checked> {
  const cannot = await whyNot();
  if (cannot) throw new Error(`${cannot} Check the file with \`cordon verify\`.`);
  const key = authority === '' ? null : fromBase64url(authority);
  const digest = hex(await sha256(file.bytes));
  const report = await verifyBundle(file.bytes, key, (done, all) => {
    if (done === all || done % 16 === 0) told(`${done} of ${many(all, 'batch', 'batches')}`);
  });
  return { report, digest };
}

/** A public key as `cordon authority` writes it: 32 bytes of base64url. */
const KEY = /^[A-Za-z0-9_-]{43}$/;

export function Verified({ file }: { file: File }) {
  const [authority, setAuthority] = useState('');
  const [progress, setProgress] = useState('');
  const key = KEY.test(authority.trim()) ? authority.trim() : '';
  const checked = useQuery({
    queryKey: ['evidence', file.made, key],
    queryFn: () => check(file, key, setProgress),
    staleTime: Infinity,
    gcTime: 0,
    retry: false,
  });
  return (
    <>
      <Panel
        title="Verified in this browser"
        aside={
          file.isOurs ? (
            <Button className="button small" onPress={() => save(file.name, file.bytes, 'application/cbor')}>
              <Download size={14} aria-hidden /> Save the file
            </Button>
          ) : null
        }
      >
        <div className="verified" aria-live="polite">
          {checked.data ? <Verdict checked={checked.data} /> : checked.error ? <Failure error={new Error(`${file.name} proves nothing: ${checked.error.message}`)} /> : <p className="panel-words">Checking every signature, event and chain … {progress}</p>}
          <Fields>
            <Field name="File">
              <Foreign text={file.name} max={120} />, {bytes(file.bytes.length)}
            </Field>
            {checked.data ? (
              <Field name="SHA-256">
                <code className="digest">{checked.data.digest}</code> <CopyButton text={checked.data.digest} label="Copy the digest" />
              </Field>
            ) : null}
          </Fields>
          <Input
            label="The authority’s public key, if you have it"
            value={authority}
            onChange={setAuthority}
            autoComplete="off"
            placeholder="daily key, 43 characters"
            hint={authority !== '' && key === '' ? 'That is not a key: it has 43 characters of base64url.' : 'From authority.pub, not from this collector. Then the rosters in the file are checked, too.'}
          />
        </div>
      </Panel>
      <Elsewhere file={file} />
    </>
  );
}

function Verdict({ checked: { report } }: { checked: Checked }) {
  return (
    <>
      <p className={report.holds ? 'verdict good' : 'verdict bad'}>
        {report.holds ? <CircleCheck size={20} aria-hidden /> : <CircleX size={20} aria-hidden />}
        <span>
          <strong>{report.holds ? 'Everything holds' : 'NOT everything holds'}</strong>; {many(report.events, 'event')} verified.
        </span>
      </p>
      <ul className="statements">
        {report.statements.map((statement, at) => (
          <li key={at} className={statement.holds ? 'good' : 'bad'}>
            <span className="holds">{statement.holds ? 'holds' : 'FAILS'}</span>
            <Foreign text={statement.sentence} max={600} />
          </li>
        ))}
      </ul>
    </>
  );
}

function Elsewhere({ file }: { file: File }) {
  // A name with anything else in it could be read by a shell.
  const name = /^[\w.-]+$/.test(file.name) ? file.name : 'FILE';
  return (
    <Panel title="Check it without us">
      <p className="panel-words trust-words">
        <ShieldQuestion size={18} aria-hidden />
        <span>
          This page came from the collector. A collector that lies could have sent a page that lies as well, so what stands here is a convenience and no proof to anybody else. The file proves itself: take it to a machine that this collector cannot touch.
        </span>
      </p>
      <Command text={`cordon verify ${name}`} why="Offline, and with nothing but the file. Ends with 0 only if everything holds:" />
      <Command text={`cordon verify ${name} --authority authority.pub`} why="The rosters, too, against your authority’s public key:" />
      <Command text={`sha256sum ${name}`} why="Whether it is the file that was checked here:" />
      <p className="note">
        Compare: the same statements, the same number of events, and the header that each chain is complete to. Take <code>cordon</code> from where you got Cordon’s packages, not from this collector; a second implementation, <code>tests/verifier/verify.py</code> in the
        source, needs only Python and zstd. “Unknown after” is meant: no bundle can say what came after its last header. Export again later, and the header that this one ends with must stand in that chain.
      </p>
    </Panel>
  );
}
