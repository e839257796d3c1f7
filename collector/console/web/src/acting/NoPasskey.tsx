// Who has no passkey in the roster is told how to get one, and how to do it at the terminal meanwhile.

import { Command } from '../parts/Copy';

interface Props {
  client: string;
  operator: string;
  /** The same act at the terminal. */
  line: string;
}

export function NoPasskey({ client, operator, line }: Props) {
  return (
    <div className="no-passkey">
      <p className="no-passkey-title">The roster names no signing passkey of yours</p>
      <p className="panel-words">
        Endpoints obey commands that a rostered key signed. The collector’s own page can sign none, so passkeys for signing are made at a page of their own:
      </p>
      <ol className="steps">
        <li>
          <p>Serve the signing page on your machine, open http://localhost:9443 and make a passkey there.</p>
          <Command text="cordon signer" />
        </li>
        <li>
          <p>Have the authority sign a roster that names it, with the text that the page shows in the place of PASSKEY.</p>
          <Command text={`cordon roster make --client ${client} --add-passkey ${operator}=PASSKEY -o ${client}-next.toml`} />
        </li>
      </ol>
      <Command why="Until then, with your key file at the terminal" text={line} />
    </div>
  );
}
