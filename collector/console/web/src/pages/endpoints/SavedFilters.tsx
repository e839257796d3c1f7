// Filters kept under a name, on this device and for this client only.

import { Button } from 'react-aria-components';

import { Saved } from '../../parts/Saved';
import type { Search } from './question';

interface SavedFilter {
  name: string;
  search: Search;
}

const isSaved = (value: unknown): value is SavedFilter[] =>
  Array.isArray(value) && value.every((one: unknown) => typeof one === 'object' && one !== null && 'name' in one && 'search' in one);

interface Props {
  client: string;
  search: Search;
  change: (search: Search) => void;
}

export function SavedFilters({ client, search, change }: Props) {
  return (
    <Saved<SavedFilter>
      place={`endpoints.filters.${client}`}
      isList={isSaved}
      title="Saved filters"
      item={(one, close) => (
        <Button
          className="menu-item"
          onPress={() => {
            change(one.search);
            close();
          }}
        >
          <span className="menu-name">{one.name}</span>
        </Button>
      )}
      empty="Nothing is saved yet. Narrow the list, then give what you see a name."
      label="Save this filter as"
      shown={Object.values(search).some(Boolean) ? (name) => ({ name, search }) : null}
    />
  );
}
