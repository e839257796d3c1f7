// How many persons must sign, who else may, and that it cannot be done at all.

import { PenLine, UserRoundX, UsersRound } from 'lucide-react';

import { many } from '../words/measure';
import type { Need } from './desk';


export function Signatures({ needs, targets, second, client }: { needs: Need; targets: number; second: string | null; client: string }) {
  if (needs.says === 'role') {
    return (
      <p className="signatures none">
        <UserRoundX size={16} aria-hidden /> Your role at {client} may not do this; the roster says who may.
      </p>
    );
  }
  if (needs.says === 'targets') {
    return (
      <p className="signatures none">
        <UserRoundX size={16} aria-hidden /> No number of signatures allows this on {many(targets, 'endpoint')} at once; the most is {needs.most}.
      </p>
    );
  }
  if (needs.count === 1) {
    return (
      <p className="signatures">
        <PenLine size={16} aria-hidden /> Your signature is enough, unless signed policy calls {targets === 1 ? 'the endpoint' : 'one of them'} critical.
      </p>
    );
  }
  const missing = needs.count - 1;
  const others = needs.others.length === 0 ? 'nobody else in the roster may' : `${needs.others.slice(0, 6).join(', ')} may`;
  return (
    <p className={needs.others.length < missing ? 'signatures none' : 'signatures'}>
      <UsersRound size={16} aria-hidden />
      <span>
        {needs.count} persons must sign: you, and {missing === 1 ? 'one more' : `${missing} more`}; {others}. {second ? `${second}. ` : ''}It waits until then.
      </span>
    </p>
  );
}
