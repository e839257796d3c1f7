import { expect, test } from 'vitest';

import { parts, plain } from './foreign';

function check(text: string, expected: string) {
  expect(plain(text)).toBe(expected);
}

test('a plain text stays as it is', () => {
  check('naïve — 日本 <b>&amp;</b>', 'naïve — 日本 <b>&amp;</b>');
});

test('what would not be seen is written out', () => {
  check('a\u0000b\u001b[2Jc', 'a\\u{0}b\\u{1b}[2Jc');
  check('line\nline\ttab\r', 'line\\nline\\ttab\\r');
  check('zero\u200bwidth\ufeff', 'zero\\u{200b}width\\u{feff}');
});

test('nothing turns the reading direction around', () => {
  check('invoice\u202egpj.exe', 'invoice\\u{202e}gpj.exe');
  check('\u2066isolate\u2069', '\\u{2066}isolate\\u{2069}');
});

test('half a character is written out, a whole one is not', () => {
  check('\ud800', '\\u{d800}');
  check('😀', '😀');
});

test('a long text is cut and says so', () => {
  expect(parts('x'.repeat(9), 4)).toEqual({ parts: [{ text: 'xxxx', escaped: false }], cut: true });
});
