// Chooses the columns; kept on this device.

import { Check, Columns3 } from 'lucide-react';

import { Menu } from '../../parts/Menu';
import { COLUMNS, COLUMNS_DEFAULT } from './columns';

export function ColumnMenu({ kept, keep }: { kept: string[]; keep: (names: string[]) => void }) {
  const turn = (key: string) => keep(kept.includes(key) ? kept.filter((one) => one !== key) : [...kept, key]);
  const items = COLUMNS.filter((column) => !column.always).map((column) => ({
    id: column.key,
    text: column.title,
    words: (
      <>
        <span className="tick">{kept.includes(column.key) ? <Check size={14} /> : null}</span>
        <span className="menu-name">{column.title}</span>
      </>
    ),
    act: () => turn(column.key),
  }));
  const usual = { id: 'usual', text: 'As at first', words: <span className="menu-name faint">As at first</span>, act: () => keep(COLUMNS_DEFAULT) };
  return (
    <Menu label="Choose columns" items={[...items, usual]}>
      <Columns3 size={15} aria-hidden /> Columns
    </Menu>
  );
}
