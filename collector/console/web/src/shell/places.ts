// Where one can go, in the order of the navigation, each with the keys that lead there.

import { Building2, DatabaseSearch, FileCheck2, LayoutDashboard, type LucideIcon, MonitorSmartphone, ScrollText, Settings2, ShieldBan, Terminal } from 'lucide-react';

import { ALL } from '../api/queries';

export interface Place {
  path: string;
  name: string;
  icon: LucideIcon;
  /** Pressed after `g`. */
  key: string;
  /** On the bar at the bottom of a phone; the others are behind its last button. */
  first: boolean;
}

/** The places of a client, or those that speak of all. */
export function places(client: string): Place[] {
  if (client === ALL) {
    return [
      { path: '/', name: 'Overview', icon: LayoutDashboard, key: 'o', first: true },
      { path: '/clients', name: 'Clients', icon: Building2, key: 'l', first: true },
    ];
  }
  const at = (path: string) => `/c/${client}${path}`;
  return [
    { path: at(''), name: 'Overview', icon: LayoutDashboard, key: 'o', first: true },
    { path: at('/endpoints'), name: 'Endpoints', icon: MonitorSmartphone, key: 'e', first: true },
    { path: at('/containments'), name: 'Containments', icon: ShieldBan, key: 'c', first: true },
    { path: at('/commands'), name: 'Commands', icon: Terminal, key: 'm', first: true },
    { path: at('/query'), name: 'Query', icon: DatabaseSearch, key: 'q', first: false },
    { path: at('/evidence'), name: 'Evidence', icon: FileCheck2, key: 'v', first: false },
    { path: at('/audit'), name: 'Audit', icon: ScrollText, key: 'a', first: false },
    { path: at('/settings'), name: 'Settings', icon: Settings2, key: 's', first: false },
    { path: '/clients', name: 'Clients', icon: Building2, key: 'l', first: false },
  ];
}
