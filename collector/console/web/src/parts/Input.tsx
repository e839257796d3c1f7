// Fields to type into and to choose from, each with its label.

import type { HTMLInputAutoCompleteAttribute, ReactNode } from 'react';
import { Input as Box, Label, Text, TextField } from 'react-aria-components';

interface Props {
  label: string;
  value: string;
  onChange: (value: string) => void;
  type?: 'text' | 'password';
  autoComplete?: HTMLInputAutoCompleteAttribute;
  inputMode?: 'numeric' | 'text';
  hint?: ReactNode;
  isRequired?: boolean;
  placeholder?: string;
  autoFocus?: boolean;
}

export function Input({ label, hint, placeholder, ...field }: Props) {
  return (
    <TextField className="input" {...field}>
      <Label>{label}</Label>
      <Box placeholder={placeholder ?? ''} spellCheck={false} />
      <Hint hint={hint} />
    </TextField>
  );
}

/** What a field wants, below it and read out with it. */
export function Hint({ hint }: { hint: ReactNode }) {
  if (!hint) return null;
  return (
    <Text slot="description" className="hint">
      {hint}
    </Text>
  );
}

export function Choice({ label, value, options, onChange }: { label: string; value: string; options: [string, string][]; onChange: (value: string) => void }) {
  return (
    <label className="choice">
      <span className="choice-label">{label}</span>
      <select value={value} onChange={(event) => onChange(event.target.value)} className={value === '' ? '' : 'set'}>
        {options.map(([key, words]) => (
          <option key={key} value={key}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}
