// What is kept under names in this browser, for one client: a list to choose and forget from, and a
// field to give what is shown a name.

import { Bookmark, BookmarkPlus, Trash2 } from 'lucide-react';
import { type FormEvent, type ReactNode, useState } from 'react';
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components';

import { useKept } from '../shell/kept';
import { Input } from './Input';

interface Props<T extends { name: string }> {
  /** What it is kept under. */
  place: string;
  isList: (value: unknown) => value is T[];
  title: string;
  /** One of them, to be pressed. */
  item: (one: T, close: () => void) => ReactNode;
  /** Where nothing is kept yet. */
  empty: string;
  label: string;
  /** What is shown, under a name; null where there is nothing to keep. */
  shown: ((name: string) => T) | null;
  isWide?: boolean;
}

export function Saved<T extends { name: string }>({ place, isList, title, item, empty, label, shown, isWide }: Props<T>) {
  const [saved, keep] = useKept<T[]>(place, [], isList);
  const [name, setName] = useState('');
  const save = (event: FormEvent) => {
    event.preventDefault();
    const called = name.trim();
    if (called === '' || !shown) return;
    keep([...saved.filter((one) => one.name !== called), shown(called)]);
    setName('');
  };
  return (
    <DialogTrigger>
      <Button className="button">
        <Bookmark size={15} aria-hidden /> Saved{saved.length > 0 ? ` (${saved.length})` : ''}
      </Button>
      <Popover className={isWide ? 'popover wide' : 'popover'} placement="bottom end">
        <Dialog className="saved" aria-label={title}>
          {({ close }) => (
            <>
              {saved.length > 0 ? (
                <ul>
                  {saved.map((one) => (
                    <li key={one.name}>
                      {item(one, close)}
                      <Button className="icon-button" aria-label={`Forget ${one.name}`} onPress={() => keep(saved.filter((other) => other !== one))}>
                        <Trash2 size={14} />
                      </Button>
                    </li>
                  ))}
                </ul>
              ) : (
                <p className="faint">{empty}</p>
              )}
              {shown ? (
                <form onSubmit={save} className="save">
                  <Input label={label} value={name} onChange={setName} autoComplete="off" />
                  <Button type="submit" className="button" isDisabled={name.trim() === ''}>
                    <BookmarkPlus size={15} aria-hidden /> Save
                  </Button>
                </form>
              ) : null}
            </>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
