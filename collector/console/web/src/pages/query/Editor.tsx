// The editor for SQL. It stands in a shadow root, because there its styles are sheets that the page
// adopts; in the page itself they would be style elements, which the content policy forbids.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { EditorState, Prec } from '@codemirror/state';
import { drawSelection, EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';

import { language } from './completion';

const LOOKS = EditorView.theme({
  '&': { backgroundColor: 'transparent', color: 'var(--text)', fontSize: '0.875rem', minHeight: '9rem', maxHeight: '22rem' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6', overflow: 'auto' },
  '.cm-content': { padding: '0.8rem 0', caretColor: 'var(--accent)' },
  '.cm-line': { padding: '0 1rem' },
  '.cm-placeholder': { color: 'var(--text-3)' },
  '.cm-cursor': { borderLeftColor: 'var(--accent)', borderLeftWidth: '2px' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--chosen)' },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--soft)', outline: '1px solid var(--line-strong)' },
  '.cm-tooltip': { border: '1px solid var(--line)', borderRadius: '8px', backgroundColor: 'var(--raised)', boxShadow: 'var(--shadow-high)', color: 'var(--text)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '0.8125rem', maxHeight: '15rem' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '0.2rem 0.6rem' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent-solid)', color: 'var(--on-accent)' },
  '.cm-completionDetail': { color: 'var(--text-3)', fontStyle: 'normal', marginLeft: '1rem' },
  'li[aria-selected] .cm-completionDetail': { color: 'inherit' },
  '.cm-completionMatchedText': { fontWeight: '650', textDecoration: 'none' },
  '.cm-tooltip.cm-completionInfo': { padding: '0.5rem 0.7rem', maxWidth: '20rem', fontFamily: 'var(--sans)', fontSize: '0.8125rem' },
});

const COLOURS = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--accent)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--good)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--held)' },
  { tag: [tags.comment, tags.lineComment, tags.blockComment], color: 'var(--text-3)', fontStyle: 'italic' },
  { tag: [tags.standard(tags.name), tags.function(tags.name)], color: 'var(--warn)' },
]);

interface Props {
  value: string;
  onChange: (value: string) => void;
  onRun: (value: string) => void;
  /** Somebody is to look here: a place in the text, and a number that is another one each time. */
  look?: { at: number; times: number } | undefined;
}

export default function Editor({ value, onChange, onRun, look }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const told = useRef({ value, onChange, onRun });
  useEffect(() => {
    told.current = { value, onChange, onRun };
  });
  useEffect(() => {
    const place = host.current;
    if (!place) return;
    const root = place.shadowRoot ?? place.attachShadow({ mode: 'open' });
    const made = new EditorView({ root, parent: root, state: EditorState.create({ doc: told.current.value, extensions: extensions(told) }) });
    view.current = made;
    // What is typed here is no shortcut of the page's.
    const keep = (event: KeyboardEvent) => event.stopPropagation();
    place.addEventListener('keydown', keep);
    return () => {
      place.removeEventListener('keydown', keep);
      made.destroy();
      view.current = undefined;
    };
  }, []);
  useEffect(() => {
    const shown = view.current?.state.doc.toString();
    if (shown === undefined || shown === value) return;
    view.current?.dispatch({ changes: { from: 0, to: shown.length, insert: value } });
  }, [value]);
  useEffect(() => {
    if (!look || !view.current) return;
    const anchor = Math.min(look.at, view.current.state.doc.length);
    view.current.dispatch({ selection: { anchor }, scrollIntoView: true });
    view.current.focus();
  }, [look]);
  return <div ref={host} className="sql-editor" />;
}

/** What is selected, as the browser has it: the editor hears of a selection a moment later, and an
    event within a shadow root does not say what it is about to replace. */
function selected(view: EditorView): { from: number; to: number } {
  const [range] = document.getSelection()?.getComposedRanges({ shadowRoots: view.root instanceof ShadowRoot ? [view.root] : [] }) ?? [];
  const isHere = range && view.contentDOM.contains(range.startContainer) && view.contentDOM.contains(range.endContainer);
  if (!isHere) return view.state.selection.main;
  return { from: view.posAtDOM(range.startContainer, range.startOffset), to: view.posAtDOM(range.endContainer, range.endOffset) };
}

/** Typed over a selection, a browser would keep the look of what goes as an inline style, which the
    content policy refuses aloud; so that is done here. */
const OVERWRITE = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { data } = event;
    if (event.inputType !== 'insertText' || data === null || view.composing) return false;
    const { from, to } = selected(view);
    if (from === to) return false;
    const selection = { anchor: from + data.length };
    const insert = () => view.state.update({ changes: { from, to, insert: data }, selection, userEvent: 'input.type', scrollIntoView: true });
    const isHandled = view.state.facet(EditorView.inputHandler).some((handler) => handler(view, from, to, data, insert));
    if (!isHandled) view.dispatch(insert());
    return true;
  },
});

function extensions(told: { current: { onChange: (value: string) => void; onRun: (value: string) => void } }) {
  const run = (view: EditorView) => {
    // The page may not have heard of the last letters yet.
    told.current.onRun(view.state.doc.toString());
    return true;
  };
  return [
    history(),
    drawSelection(),
    bracketMatching(),
    closeBrackets(),
    autocompletion({ icons: false }),
    language(),
    Prec.highest(keymap.of([{ key: 'Mod-Enter', run }])),
    // Tab goes on to what follows, as it does everywhere on a page.
    keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap]),
    placeholder('SELECT … FROM …'),
    EditorView.lineWrapping,
    OVERWRITE,
    EditorView.contentAttributes.of({ 'aria-label': 'SQL', spellcheck: 'false', autocapitalize: 'off', autocorrect: 'off' }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) told.current.onChange(update.state.doc.toString());
    }),
    LOOKS,
    syntaxHighlighting(COLOURS),
  ];
}
