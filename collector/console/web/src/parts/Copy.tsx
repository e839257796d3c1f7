// A value or a command that is taken along with one press.

import { Check, Copy as CopyIcon } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <Button className="icon-button" aria-label={done ? 'Copied' : label} onPress={() => void copy()}>
      {done ? <Check size={15} /> : <CopyIcon size={15} />}
    </Button>
  );
}

/** A command for the terminal program. What came from an endpoint must be quoted by the caller. */
export function Command({ text, why }: { text: string; why?: string }) {
  return (
    <div className="command">
      {why ? <p className="command-why">{why}</p> : null}
      <div className="command-line">
        <code>
          <span aria-hidden className="prompt">
            ${' '}
          </span>
          {text}
        </code>
        <CopyButton text={text} label="Copy the command" />
      </div>
    </div>
  );
}

/** An id, shortened; the whole of it is copied. */
export function Id({ id, length = 12 }: { id: string; length?: number }) {
  return (
    <span className="id">
      <code title={id}>{id.slice(0, length)}</code>
      <CopyButton text={id} label="Copy the whole id" />
    </span>
  );
}
