// An address that leads nowhere, or to what this person does not see.

import { Link } from '@tanstack/react-router';
import { MapPinOff } from 'lucide-react';

import { Empty } from '../parts/Notice';

export function NotFound() {
  return (
    <div className="page">
      <Empty icon={MapPinOff} title="There is nothing here for you">
        <p>The address is wrong, or it belongs to a client that your roster does not name you for.</p>
        <Link to="/" className="button">
          To the overview
        </Link>
      </Empty>
    </div>
  );
}
