// Server-sent events taken apart: bytes in, frames out. The browser's own reader would ask again when
// a stream ends, and an answer can be read once.

export interface Frame {
  event: string;
  data: string;
}

/** The longest frame that is kept; a longer one is passed over. */
const FRAME_CHARACTERS_MAX = 1 << 20;

export class Frames {
  private pending = '';
  private overlong = false;
  private readonly decoder = new TextDecoder();

  /** Takes the next bytes; answers the frames that are whole with them. */
  take(bytes: Uint8Array): Frame[] {
    this.pending += this.decoder.decode(bytes, { stream: true });
    const found: Frame[] = [];
    for (;;) {
      const end = /\r\n\r\n|\n\n|\r\r/.exec(this.pending);
      if (!end) break;
      const frame = this.overlong ? null : parse(this.pending.slice(0, end.index));
      this.overlong = false;
      this.pending = this.pending.slice(end.index + end[0].length);
      if (frame) found.push(frame);
    }
    if (this.pending.length > FRAME_CHARACTERS_MAX) {
      // Its end is still looked for: the last characters may be half of one.
      this.overlong = true;
      this.pending = this.pending.slice(-3);
    }
    return found;
  }
}

/** A frame with content; comments are signs of life. */
function parse(text: string): Frame | null {
  const lines: string[] = [];
  let event = 'message';
  for (const line of text.split(/\r\n|\n|\r/)) {
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'data') lines.push(value);
    else if (field === 'event') event = value;
  }
  return lines.length > 0 ? { event, data: lines.join('\n') } : null;
}
