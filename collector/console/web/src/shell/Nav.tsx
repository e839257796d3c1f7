// The ways to the pages: at the side, and on a phone at the bottom, under the thumb.

import { Link, useNavigate } from '@tanstack/react-router';
import { Ellipsis } from 'lucide-react';

import { Menu } from '../parts/Menu';
import { type Place, places } from './places';

function To({ place, className }: { place: Place; className: string }) {
  const Icon = place.icon;
  const isOverview = place.name === 'Overview';
  return (
    <Link to={place.path} className={className} activeOptions={{ exact: isOverview, includeSearch: false }} activeProps={{ 'aria-current': 'page' }}>
      <Icon size={17} strokeWidth={1.8} aria-hidden />
      <span>{place.name}</span>
    </Link>
  );
}

export function SideNav({ client }: { client: string }) {
  return (
    <nav className="side-nav" aria-label="Pages">
      {places(client).map((place) => (
        <To key={place.path} place={place} className="side-link" />
      ))}
    </nav>
  );
}

export function BottomBar({ client }: { client: string }) {
  const navigate = useNavigate();
  const all = places(client);
  const others = all.filter((place) => !place.first);
  return (
    <nav className="bottom" aria-label="Pages">
      {all
        .filter((place) => place.first)
        .map((place) => (
          <To key={place.path} place={place} className="bottom-link" />
        ))}
      {others.length > 0 ? (
        <Menu
          className="bottom-link"
          label="More pages"
          items={others.map(({ path, name, icon: Icon }) => ({
            id: path,
            text: name,
            words: (
              <>
                <Icon size={16} aria-hidden />
                <span className="menu-name">{name}</span>
              </>
            ),
            act: () => void navigate({ to: path }),
          }))}
        >
          <Ellipsis size={17} aria-hidden />
          <span>More</span>
        </Menu>
      ) : null}
    </nav>
  );
}
