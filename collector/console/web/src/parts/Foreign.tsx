// Shows a text that came from an endpoint: as text, with what would not be seen written out.

import { parts } from '../words/foreign';

export function Foreign({ text, max }: { text: string; max?: number }) {
  const { parts: found, cut } = parts(text, max);
  return (
    <bdi className="foreign">
      {found.map((part, index) =>
        part.escaped ? (
          <span key={index} className="escaped" title="A character that would not be seen, as its code">
            {part.text}
          </span>
        ) : (
          part.text
        ),
      )}
      {cut ? '…' : null}
    </bdi>
  );
}
