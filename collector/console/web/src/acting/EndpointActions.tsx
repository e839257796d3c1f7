// What can be done to an endpoint, at its head: cutting it off or letting it back by one press, the
// rest in a menu.

import { ChevronDown, ShieldBan, ShieldCheck } from 'lucide-react';
import { Button } from 'react-aria-components';

import type { EndpointWhole } from '../api/types';
import { useStanding } from '../pages/endpoint/useStanding';
import { Menu } from '../parts/Menu';
import { useActing } from './Acting';
import { DEEDS, type DeedName, MENU, deed } from './deeds';
import { useMayAct } from './useMayAct';

export function EndpointActions({ endpoint }: { endpoint: EndpointWhole }) {
  const act = useActing();
  const { client } = endpoint;
  const isIsolated = useStanding(endpoint).some((one) => one.action === 'isolate');
  if (!useMayAct(client)) return null;
  const open = (name: DeedName) => act({ deed: name, client, endpoints: [{ id: endpoint.id, host_name: endpoint.host_name }] });
  const names: DeedName[] = isIsolated ? ['isolate', ...MENU] : MENU;
  return (
    <div className="endpoint-actions">
      {isIsolated ? (
        <Button className="button primary" onPress={() => open('release')}>
          <ShieldCheck size={15} aria-hidden /> {DEEDS.release.verb}
        </Button>
      ) : (
        <Button className="button primary held" onPress={() => open('isolate')}>
          <ShieldBan size={15} aria-hidden /> {DEEDS.isolate.verb}
        </Button>
      )}
      <Menu
        label="More actions"
        items={names.map((name) => {
          const { title, icon: Icon } = deed(name);
          const text = name === 'isolate' ? 'Renew the isolation' : title;
          return {
            id: name, text, act: () => open(name),
            words: (
              <>
                <Icon size={15} aria-hidden />
                <span className="menu-name">{text}</span>
              </>
            ),
          };
        })}
      >
        More <ChevronDown size={14} aria-hidden />
      </Menu>
    </div>
  );
}
