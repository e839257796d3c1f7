// The keyboard: `g` and a letter go to a page, `/` to its search, `?` shows what there is.

import { useNavigate } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';

import { places } from './places';

/** A second key counts this long after the first. */
const PAUSE_MS = 1200;

export function Keys({ client }: { client: string }) {
  const navigate = useNavigate();
  const [shown, setShown] = useState(false);
  const pressed = useRef(0);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const at = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || at.closest('input, select, textarea, [role=menu]')) return;
      if (event.key === '?') setShown(true);
      else if (event.key === '/') {
        const search = document.querySelector<HTMLElement>('main input[type=search], main [data-search] input');
        if (search) event.preventDefault();
        search?.focus();
      } else if (event.key === 'g') pressed.current = event.timeStamp;
      else if (event.timeStamp - pressed.current < PAUSE_MS) {
        const place = places(client).find((one) => one.key === event.key);
        if (place) void navigate({ to: place.path });
        pressed.current = 0;
      }
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, [client, navigate]);
  const keys: [string, string][] = [
    ...places(client).map((place): [string, string] => [`g ${place.key}`, place.name]),
    ['/', 'Search on this page'],
    ['↑ ↓ j k', 'Walk through a table'],
    ['Enter', 'Open the row'],
    ['x', 'Choose the row; with Shift all from the last one on'],
    ['?', 'This list'],
  ];
  return (
    <ModalOverlay className="overlay" isOpen={shown} onOpenChange={setShown} isDismissable>
      <Modal className="modal">
        <Dialog className="dialog">
          <Heading slot="title">Keyboard</Heading>
          <dl className="keys">
            {keys.map(([key, words]) => (
              <div key={key}>
                <dt>
                  {key.split(' ').map((one) => (
                    <kbd key={one}>{one}</kbd>
                  ))}
                </dt>
                <dd>{words}</dd>
              </div>
            ))}
          </dl>
          <Button slot="close" className="button">
            Close
          </Button>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
