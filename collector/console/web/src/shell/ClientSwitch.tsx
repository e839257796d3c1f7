// Chooses whose endpoints are looked at. The page goes along where the other client has the same one.

import { useNavigate, useRouterState } from '@tanstack/react-router';
import { Building2, ChevronsUpDown, Layers } from 'lucide-react';

import { ALL } from '../api/queries';
import type { Current } from '../api/types';
import { Menu } from '../parts/Menu';

/** Pages that every client has; what is open on them does not go along. */
const PAGES = ['endpoints', 'containments', 'commands', 'query', 'evidence', 'audit', 'settings'];

export function ClientSwitch({ seats, client }: { seats: Current['clients']; client: string }) {
  const navigate = useNavigate();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const page = PAGES.find((name) => path.split('/')[3] === name);
  const all = {
    id: ALL,
    text: 'All clients',
    chosen: client === ALL,
    words: (
      <>
        <Layers size={15} aria-hidden />
        <span className="menu-name">All clients</span>
      </>
    ),
    act: () => void navigate({ to: '/' }),
  };
  const one = (seat: Current['clients'][number]) => ({
    id: seat.id,
    text: seat.id,
    chosen: seat.id === client,
    words: (
      <>
        <Building2 size={15} aria-hidden />
        <span className="menu-name">{seat.id}</span>
        <span className="menu-side">{seat.role}</span>
      </>
    ),
    act: () => void navigate({ to: page ? `/c/${seat.id}/${page}` : `/c/${seat.id}` }),
  });
  return (
    <Menu className="client-switch" label={`Client: ${client === ALL ? 'all clients' : client}. Choose another`} items={[all, ...seats.map(one)]}>
      {client === ALL ? <Layers size={16} aria-hidden /> : <Building2 size={16} aria-hidden />}
      <span className="client-name">{client === ALL ? 'All clients' : client}</span>
      <ChevronsUpDown size={14} aria-hidden />
    </Menu>
  );
}
