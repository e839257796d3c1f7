// Filters kept under a name, on this device and for this client only.

import { Bookmark, BookmarkPlus, Trash2 } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components';

import { Input } from '../../parts/Input';
import { useKept } from '../../shell/kept';
import type { Search } from './question';

interface Saved {
  name: string;
  search: Search;
}

const isSaved = (value: unknown): value is Saved[] =>
  Array.isArray(value) && value.every((one: unknown) => typeof one === 'object' && one !== null && 'name' in one && 'search' in one);

interface Props {
  client: string;
  search: Search;
  change: (search: Search) => void;
}

export function SavedFilters({ client, search, change }: Props) {
  const [saved, keep] = useKept<Saved[]>(`endpoints.filters.${client}`, [], isSaved);
  const [name, setName] = useState('');
  const isNarrowed = Object.values(search).some(Boolean);
  const save = (event: FormEvent) => {
    event.preventDefault();
    const called = name.trim();
    if (called === '') return;
    keep([...saved.filter((one) => one.name !== called), { name: called, search }]);
    setName('');
  };
  return (
    <DialogTrigger>
      <Button className="button">
        <Bookmark size={15} aria-hidden /> Saved{saved.length > 0 ? ` (${saved.length})` : ''}
      </Button>
      <Popover className="popover" placement="bottom end">
        <Dialog className="saved" aria-label="Saved filters">
          {({ close }) => (
            <>
              {saved.length > 0 ? (
                <ul>
                  {saved.map((one) => (
                    <li key={one.name}>
                      <Button
                        className="menu-item"
                        onPress={() => {
                          change(one.search);
                          close();
                        }}
                      >
                        <span className="menu-name">{one.name}</span>
                      </Button>
                      <Button className="icon-button" aria-label={`Forget ${one.name}`} onPress={() => keep(saved.filter((other) => other !== one))}>
                        <Trash2 size={14} />
                      </Button>
                    </li>
                  ))}
                </ul>
              ) : (
                <p className="faint">Nothing is saved yet. Narrow the list, then give what you see a name.</p>
              )}
              {isNarrowed ? (
                <form onSubmit={save} className="save">
                  <Input label="Save this filter as" value={name} onChange={setName} autoComplete="off" />
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
