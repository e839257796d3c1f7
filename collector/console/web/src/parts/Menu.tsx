// A button that opens a list of things to go to or do.

import type { ReactNode } from 'react';
import { Button, Menu as Items, MenuItem, MenuTrigger, Popover } from 'react-aria-components';

export interface Item {
  id: string;
  words: ReactNode;
  /** For finding it by typing. */
  text: string;
  chosen?: boolean;
  act: () => void;
}

export function Menu({ label, className = 'button', children, items }: { label: string; className?: string; children: ReactNode; items: Item[] }) {
  return (
    <MenuTrigger>
      <Button className={className} aria-label={label}>
        {children}
      </Button>
      <Popover className="popover" placement="bottom start">
        <Items className="menu" aria-label={label}>
          {items.map((item) => (
            <MenuItem key={item.id} id={item.id} textValue={item.text} className={item.chosen ? 'menu-item chosen' : 'menu-item'} onAction={item.act}>
              {item.words}
            </MenuItem>
          ))}
        </Items>
      </Popover>
    </MenuTrigger>
  );
}
