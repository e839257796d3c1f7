// What a chart shows, as rows, for those who cannot see it and for those who want the numbers.

import { useState } from 'react';

import { type Line, nearest } from '../words/line';
import { moment, utc } from '../words/time';
import { Foreign } from './Foreign';

/** More rows than these nobody reads; they are spread evenly over all there are. */
const ROWS_MAX = 120;

interface Props {
  title: string;
  lines: Line[];
  words: (value: number) => string;
}

export function ChartTable({ title, lines, words }: Props) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details className="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {isOpen ? <Rows title={title} lines={lines} words={words} /> : null}
    </details>
  );
}

function Rows({ title, lines, words }: Props) {
  const all = [...(lines[0]?.points ?? [])].reverse();
  const step = Math.max(1, Math.ceil(all.length / ROWS_MAX));
  const shown = all.filter((point, index) => index % step === 0 || point.value === null);
  return (
    <div className="scroll-x" role="region" aria-label={`${title}, as a table`} tabIndex={0}>
      <table className="plain-table">
        <caption className="unseen">{title}, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">UTC</th>
            {lines.map((line) => (
              <th key={line.name} scope="col">
                <Foreign text={line.name} max={40} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((point) => {
            const iso = new Date(point.at).toISOString();
            return (
              <tr key={point.at}>
                <td>{moment(iso)}</td>
                <td>{utc(iso)}</td>
                {lines.map((line, index) => {
                  const value = (index === 0 ? point : nearest(line.points, point.at))?.value;
                  return <td key={line.name}>{value === null || value === undefined ? 'nothing was told' : words(value)}</td>;
                })}
              </tr>
            );
          })}
        </tbody>
      </table>
      {step > 1 ? <p className="foot-note">Every {step}th of {all.length.toLocaleString('en')} readings.</p> : null}
    </div>
  );
}
