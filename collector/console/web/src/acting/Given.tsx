// What the dialog was opened about: a process, a file, a command. It came from an endpoint, so it is
// shown as text and cannot be typed over.

import { Foreign } from '../parts/Foreign';
import { Field, Fields } from '../parts/Page';
import { actionWord } from '../words/state';
import type { Subject } from './deeds';
import type { Values } from './fields';

/** Fields of a dialog that are known already. */
export function fixed({ path, sha256, peer }: Subject): Values {
  return { ...(path ? { path } : {}), ...(sha256 ? { sha256 } : {}), ...(peer ? { peers: peer } : {}) };
}

export function Given({ subject: { process, path, sha256, peer, undo } }: { subject: Subject }) {
  if (!process && !path && !sha256 && !peer && !undo) return null;
  return (
    <Fields>
      {process ? (
        <Field name="Process">
          <Foreign text={process.name} max={120} /> <span className="faint">({process.pid})</span>
        </Field>
      ) : null}
      {process?.sha256 ? (
        <Field name="Its program">
          <code className="hash">SHA-256 {process.sha256}</code>
        </Field>
      ) : null}
      {path ? (
        <Field name="File">
          <Foreign text={path} />
        </Field>
      ) : null}
      {sha256 ? (
        <Field name="Content">
          <code className="hash">SHA-256 {sha256}</code>
        </Field>
      ) : null}
      {peer ? (
        <Field name="Other side">
          <Foreign text={peer} />
        </Field>
      ) : null}
      {undo ? (
        <Field name="Undone">
          {actionWord(undo.action)}, <code>{undo.command}</code>
        </Field>
      ) : null}
    </Fields>
  );
}
