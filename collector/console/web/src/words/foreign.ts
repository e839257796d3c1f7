// Text that came from an endpoint, made harmless to read: what is invisible, or would turn the
// reading direction around, is written out as its code.

// Controls, soft hyphen, zero widths, bidi marks, embeddings, overrides and isolates, line and
// paragraph separators, byte order mark, variation selectors, tags, lone surrogates.
const HIDDEN =
   
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}\p{Cs}]/gu;

/** A part of a text: as it is, or standing for a character that would not be seen. */
export interface Part {
  text: string;
  escaped: boolean;
}

/** The text in parts; `cut` says that there was more of it. */
export function parts(text: string, charactersMax = 4000): { parts: Part[]; cut: boolean } {
  const cut = text.length > charactersMax;
  const shown = cut ? text.slice(0, charactersMax) : text;
  const found: Part[] = [];
  let from = 0;
  for (const match of shown.matchAll(HIDDEN)) {
    if (match.index > from) found.push({ text: shown.slice(from, match.index), escaped: false });
    found.push({ text: code(match[0]), escaped: true });
    from = match.index + match[0].length;
  }
  if (from < shown.length) found.push({ text: shown.slice(from), escaped: false });
  return { parts: found, cut };
}

/** The text with the escapes in their places, for where only plain text goes. */
export function plain(text: string, charactersMax?: number): string {
  const { parts: found, cut } = parts(text, charactersMax);
  return found.map((part) => part.text).join('') + (cut ? '…' : '');
}

function code(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  if (character === '\r') return '\\r';
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
