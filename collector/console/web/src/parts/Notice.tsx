// What a page shows when there is nothing, not yet, or not at all.

import { CircleAlert, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';

/** Nothing is there, and what would make something be there. */
export function Empty({ icon: Icon, title, children }: { icon: LucideIcon; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Icon size={28} strokeWidth={1.5} aria-hidden />
      <p className="empty-title">{title}</p>
      {children ? <div className="empty-words">{children}</div> : null}
    </div>
  );
}

/** What went wrong, in the collector's own words. */
export function Failure({ error }: { error: Error }) {
  return (
    <div className="failure" role="alert">
      <CircleAlert size={18} aria-hidden />
      <p>{error.message}</p>
    </div>
  );
}

/** The place of something that is on its way. */
export function Waiting({ rows = 3 }: { rows?: number }) {
  return (
    <div className="waiting" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} className="bone" />
      ))}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: Error | null;
}

/** Shows what was asked for, or why it is not there. */
export function Answer<T>({ asked, rows, children }: { asked: Asked<T>; rows?: number; children: (answer: T) => ReactNode }) {
  if (asked.data !== undefined) return children(asked.data);
  return asked.error ? <Failure error={asked.error} /> : <Waiting {...(rows ? { rows } : {})} />;
}
