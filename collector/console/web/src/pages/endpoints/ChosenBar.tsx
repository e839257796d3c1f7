// What can be done with the endpoints that are chosen; there while any are.

import { Tag, X } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { Button } from 'react-aria-components';

import { Foreign } from '../../parts/Foreign';
import { many } from '../../words/measure';
import type { Choice } from './choice';
import { NoteMany } from './NoteMany';

/** Names that are read out of all that are chosen. */
const NAMED_MAX = 3;

interface Props {
  client: string;
  choice: Choice;
  /** Whether this person may change what people say of them. */
  mayNote: boolean;
  children?: ReactNode;
}

export function ChosenBar({ client, choice, mayNote, children }: Props) {
  const [isNoting, setNoting] = useState(false);
  const { chosen, told } = choice;
  if (chosen.length === 0 && told === null) return null;
  const more = chosen.length - NAMED_MAX;
  return (
    <section className="chosen-bar" aria-label="Chosen endpoints">
      <div className="chosen-words" role="status">
        <strong>{many(chosen.length, 'endpoint')} chosen</strong>
        <span className="chosen-names">
          {chosen.slice(0, NAMED_MAX).map((one, index) => (
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
        {children}
        {mayNote ? (
          <Button className="button" onPress={() => setNoting(true)}>
            <Tag size={15} aria-hidden /> Labels, site …
          </Button>
        ) : null}
        <Button className="icon-button" aria-label="Choose none" onPress={choice.none}>
          <X size={16} />
        </Button>
      </div>
      {isNoting ? <NoteMany client={client} endpoints={chosen} close={() => setNoting(false)} /> : null}
    </section>
  );
}
