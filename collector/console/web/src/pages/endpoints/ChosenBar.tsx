// What can be done with the endpoints that are chosen; there while any are.

import { Link } from '@tanstack/react-router';
import { ChevronDown, ShieldBan, ShieldCheck, SquareTerminal, Tag, X } from 'lucide-react';
import { useState } from 'react';
import { Button } from 'react-aria-components';

import { useActing } from '../../acting/Acting';
import { deed, type DeedName, DEEDS, MENU } from '../../acting/deeds';
import { useMayAct } from '../../acting/useMayAct';
import { Foreign } from '../../parts/Foreign';
import { Menu } from '../../parts/Menu';
import { NAMED_MAX } from '../../parts/named';
import { many } from '../../words/measure';
import type { Choice } from './choice';
import { NoteMany } from './NoteMany';

/** Names that are read out of all that are chosen. */
const READ_MAX = 3;

interface Props {
  client: string;
  choice: Choice;
}

export function ChosenBar({ client, choice }: Props) {
  const [isNoting, setNoting] = useState(false);
  const act = useActing();
  const mayAct = useMayAct(client);
  const { chosen, told } = choice;
  if (chosen.length === 0 && told === null) return null;
  const more = chosen.length - READ_MAX;
  const endpoints = chosen.map(({ id, host_name }) => ({ id, host_name }));
  const open = (name: DeedName) => act({ deed: name, client, endpoints });
  return (
    <section className="chosen-bar" aria-label="Chosen endpoints">
      <div className="chosen-words" role="status">
        <strong>{many(chosen.length, 'endpoint')} chosen</strong>
        <span className="chosen-names">
          {chosen.slice(0, READ_MAX).map((one, index) => (
            <span key={one.id}>
              {index > 0 ? ', ' : ''}
              <Foreign text={one.host_name} max={40} />
            </span>
          ))}
          {more > 0 ? ` and ${more.toLocaleString('en')} more` : ''}
        </span>
        {told ? <span className="chosen-told">{told}</span> : null}
      </div>
      <div className="chosen-acts">
        {mayAct && chosen.length > 0 ? (
          <>
            <Button className="button primary held" onPress={() => open('isolate')}>
              <ShieldBan size={15} aria-hidden /> {DEEDS.isolate.verb}
            </Button>
            <Button className="button" onPress={() => open('release')}>
              <ShieldCheck size={15} aria-hidden /> {DEEDS.release.verb}
            </Button>
            {chosen.length <= NAMED_MAX ? (
              <Link className="button" to="/c/$client/query" params={{ client }} search={{ endpoints: chosen.map(({ id }) => id).join(',') }}>
                <SquareTerminal size={15} aria-hidden /> Query
              </Link>
            ) : null}
            <More open={open} />
            <Button className="button" onPress={() => setNoting(true)}>
              <Tag size={15} aria-hidden /> Labels, site …
            </Button>
          </>
        ) : null}
        <Button className="icon-button" aria-label="Choose none" onPress={choice.none}>
          <X size={16} />
        </Button>
      </div>
      {isNoting ? <NoteMany client={client} endpoints={chosen} close={() => setNoting(false)} /> : null}
    </section>
  );
}

/** What else can be meant of several endpoints at once. */
function More({ open }: { open: (name: DeedName) => void }) {
  const items = MENU.filter((name) => deed(name).one !== true).map((name) => {
    const { title, icon: Icon } = deed(name);
    const words = (
      <>
        <Icon size={15} aria-hidden />
        <span className="menu-name">{title}</span>
      </>
    );
    return { id: name, text: title, words, act: () => open(name) };
  });
  return (
    <Menu label="More actions" items={items}>
      More <ChevronDown size={14} aria-hidden />
    </Menu>
  );
}
