// One field of a dialog.

import { Checkbox, CheckboxGroup, Label, TextArea, TextField } from 'react-aria-components';
import { Check } from 'lucide-react';
import type { ReactNode } from 'react';

import { Hint, Input } from '../parts/Input';
import type { Field, Values } from './fields';

interface Props {
  field: Field;
  value: Values[string] | undefined;
  change: (value: Values[string]) => void;
}

export function FieldRow({ field, value, change }: Props) {
  switch (field.kind) {
    case 'text':
      return (
        <Input
          label={field.label} value={typeof value === 'string' ? value : ''} onChange={change} hint={field.hint}
          placeholder={field.placeholder ?? ''} isRequired={field.isRequired ?? false} autoComplete="off"
        />
      );
    case 'lines':
      return <Lines label={field.label} hint={field.hint} placeholder={field.placeholder} rows={2} value={typeof value === 'string' ? value : ''} change={change} />;
    case 'choice':
      return (
        <label className="input">
          <span className="react-aria-Label">{field.label}</span>
          <select value={typeof value === 'string' ? value : ''} onChange={(event) => change(event.target.value)}>
            {field.options.map(([key, words]) => (
              <option key={key} value={key}>
                {words}
              </option>
            ))}
          </select>
          {field.hint ? <span className="hint">{field.hint}</span> : null}
        </label>
      );
    case 'check':
      return (
        <Tick isSelected={value === true} onChange={change}>
          {field.label}
          {field.hint ? <span className="hint">{field.hint}</span> : null}
        </Tick>
      );
    case 'checks':
      return (
        <CheckboxGroup className="input ticks" value={Array.isArray(value) ? value : []} onChange={change}>
          <Label>{field.label}</Label>
          <div className="ticks-row">
            {field.options.map(([key, words]) => (
              <Tick key={key} value={key}>
                {words}
              </Tick>
            ))}
          </div>
        </CheckboxGroup>
      );
  }
}

interface TickProps {
  value?: string;
  isSelected?: boolean;
  onChange?: (chosen: boolean) => void;
  children: ReactNode;
}

export function Tick({ children, ...rest }: TickProps) {
  return (
    <Checkbox className="tick-box" {...rest}>
      <span className="tick-mark" aria-hidden>
        <Check size={12} strokeWidth={3.2} />
      </span>
      <span className="tick-words">{children}</span>
    </Checkbox>
  );
}

interface LinesProps {
  label: string;
  value: string;
  change: (value: string) => void;
  hint?: string | undefined;
  placeholder?: string | undefined;
  rows: number;
  isRequired?: boolean;
  autoFocus?: boolean;
}

export function Lines({ label, value, change, hint, placeholder, rows, ...rest }: LinesProps) {
  return (
    <TextField className="input" value={value} onChange={change} {...rest}>
      <Label>{label}</Label>
      <TextArea rows={rows} placeholder={placeholder ?? ''} spellCheck={false} />
      <Hint hint={hint} />
    </TextField>
  );
}
