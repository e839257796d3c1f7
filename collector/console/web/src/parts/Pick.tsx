// Chooses endpoints of a client: those chosen stand as marks, a drawer finds more of them.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Plus, Search as Glass, X } from 'lucide-react';
import { useState } from 'react';
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';

import { api, take } from '../api/client';
import type { Endpoint } from '../api/types';
import { useTyped } from '../shell/typed';
import '../styles/pick.css';
import { many } from '../words/measure';
import { stateOf } from '../words/state';
import { Foreign } from './Foreign';
import { Choice } from './Input';
import { Dot, StateMark } from './Mark';
import { Answer } from './Notice';

export type Chosen = Pick<Endpoint, 'id' | 'host_name' | 'state' | 'silence'>;

/** Marks that are shown; more are counted. */
const SHOWN_MAX = 12;

/** Endpoints that the drawer lists at once; the filter finds the others. */
const LISTED = 100;

interface Props {
  client: string;
  chosen: Chosen[];
  change: (chosen: Chosen[]) => void;
  most: number;
  /** What it means that none is chosen. */
  none: string;
  /** Only those that answer now are offered at first. */
  liveFirst?: boolean;
}

export function Pick({ client, chosen, change, most, none, liveFirst = false }: Props) {
  const [open, setOpen] = useState(false);
  const left = chosen.length - SHOWN_MAX;
  return (
    <div className="picks" role="group" aria-label="Endpoints">
      {chosen.length === 0 ? <span className="faint">{none}</span> : null}
      {chosen.slice(0, SHOWN_MAX).map((one) => (
        <Chip key={one.id} one={one} remove={() => change(chosen.filter((other) => other.id !== one.id))} />
      ))}
      {left > 0 ? <span className="chip">and {left} more</span> : null}
      <Button className="button small" onPress={() => setOpen(true)}>
        <Plus size={14} aria-hidden /> Choose endpoints
      </Button>
      {chosen.length > 1 ? (
        <Button className="link" onPress={() => change([])}>
          Clear
        </Button>
      ) : null}
      {open ? <Drawer client={client} chosen={chosen} change={change} most={most} liveFirst={liveFirst} close={() => setOpen(false)} /> : null}
    </div>
  );
}

function Chip({ one, remove }: { one: Chosen; remove: () => void }) {
  const state = stateOf(one);
  return (
    <span className={one.state === 'online' ? 'chip' : 'chip away'} title={`${state.word}: ${state.meaning}`}>
      <Dot tone={state.tone} shape={state.key} />
      <span className="chip-name">
        <Foreign text={one.host_name} max={40} />
      </span>
      <Button className="chip-x" aria-label="Take this endpoint away" onPress={remove}>
        <X size={13} />
      </Button>
    </span>
  );
}

type DrawerProps = Omit<Props, 'none' | 'liveFirst'> & { liveFirst: boolean; close: () => void };

function Drawer({ client, chosen, change, most, liveFirst, close }: DrawerProps) {
  const [text, setText] = useState('');
  const [state, setState] = useState<'' | 'online' | 'offline'>(liveFirst ? 'online' : '');
  const [typed, setTyped] = useTyped(text, setText);
  const query = { client, ...(text ? { text } : {}), ...(state ? { state } : {}), sort: 'name' as const };
  const found = useQuery({
    queryKey: [client, 'endpoints', 'pick', query],
    queryFn: () => take(api.GET('/api/v1/endpoints', { params: { query: { ...query, limit: LISTED } } })),
    placeholderData: keepPreviousData,
  });
  const is = new Set(chosen.map((one) => one.id));
  const toggle = (one: Endpoint) => change(is.has(one.id) ? chosen.filter((other) => other.id !== one.id) : [...chosen, one]);
  const all = async () => {
    const next = [...chosen];
    let cursor: string | undefined;
    do {
      const page = await take(api.GET('/api/v1/endpoints', { params: { query: { ...query, limit: 500, ...(cursor ? { cursor } : {}) } } }));
      next.push(...page.items.filter((one) => !is.has(one.id)));
      cursor = page.next ?? undefined;
    } while (cursor && next.length < most);
    change(next.slice(0, most));
  };
  return (
    <ModalOverlay className="overlay at-side" isOpen onOpenChange={(is) => (is ? undefined : close())} isDismissable>
      <Modal className="drawer">
        <Dialog className="dialog pick-drawer">
          <div className="drawer-head">
            <Heading slot="title">Choose endpoints</Heading>
            <Button className="icon-button" aria-label="Close" onPress={close}>
              <X size={18} />
            </Button>
          </div>
          <div className="filters">
            <label className="search">
              <Glass size={15} aria-hidden />
              <span className="unseen">Look for endpoints</span>
              <input type="search" value={typed} onChange={(event) => setTyped(event.target.value)} placeholder="Name, system, role, label" />
            </label>
            <Choice label="State" value={state} onChange={(value) => setState(value as typeof state)} options={[['', 'Any state'], ['online', 'Online'], ['offline', 'Silent']]} />
          </div>
          <Answer asked={found} rows={8}>
            {({ items, total }) => (
              <>
                <div className="row pick-all">
                  <Button className="link" isDisabled={total === 0 || is.size >= most} onPress={() => void all()}>
                    Choose all {many(total ?? items.length, 'endpoint')} that fit{(total ?? 0) > most ? `, up to ${most}` : ''}
                  </Button>
                  <span className="faint">{many(chosen.length, 'is', 'are')} chosen</span>
                </div>
                <ul className="pick-list">
                  {items.map((one) => (
                    <li key={one.id}>
                      <label className="pick-one">
                        <input type="checkbox" checked={is.has(one.id)} disabled={!is.has(one.id) && is.size >= most} onChange={() => toggle(one)} />
                        <span className="pick-name">
                          <Foreign text={one.host_name} max={60} />
                        </span>
                        <StateMark endpoint={one} />
                      </label>
                    </li>
                  ))}
                </ul>
                {(total ?? 0) > items.length ? <p className="note">{many((total ?? 0) - items.length, 'other')} fit too: look for a part of the name.</p> : null}
              </>
            )}
          </Answer>
          <Button className="button primary" onPress={close}>
            Done
          </Button>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
