// The mark: something kept inside a cordon.

import { Link } from '@tanstack/react-router';

export function Mark({ size = 26 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden className="mark">
      <path d="M23 9.5a9.5 9.5 0 1 0 0 13" fill="none" stroke="var(--brand)" strokeWidth="4.4" strokeLinecap="round" strokeDasharray="7.6 6.4" />
      <circle cx="16" cy="16" r="3.4" fill="currentColor" />
    </svg>
  );
}

export function Logo() {
  return (
    <Link to="/" className="logo" aria-label="Cordon: all clients">
      <Mark />
      <span>Cordon</span>
    </Link>
  );
}
