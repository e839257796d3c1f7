// Setting an account up with an invitation: a password, the authenticator app, recovery codes.

import { useMutation } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { Button } from 'react-aria-components';
import { encode } from 'uqr';

import { api, take } from '../api/client';
import { CopyButton } from '../parts/Copy';
import { Input } from '../parts/Input';
import { Refusal } from '../parts/Refusal';
import { Door } from './SignIn';

/** The code after the address's `#`: that part is never sent to any server. */
function invitationOfAddress(): string {
  return decodeURIComponent(window.location.hash.slice(1));
}

export function SetUp() {
  const [invitation, setInvitation] = useState(invitationOfAddress);
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const begin = useMutation({
    mutationFn: () =>
      take(api.POST('/api/v1/set-up', { body: { invitation: invitation.trim(), name: name.trim().toLowerCase(), password } })),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    begin.mutate();
  };
  if (begin.data) return <App totp={begin.data} invitation={invitation.trim()} name={name} />;
  return (
    <Door title="Set your account up">
      <form onSubmit={submit} className="form">
        <Input
          label="Invitation code"
          value={invitation}
          onChange={setInvitation}
          autoComplete="off"
          isRequired
          hint="An administrator gave it to you, or `cordon-collector operator invite NAME` printed it."
        />
        <Input label="Name" value={name} onChange={setName} autoComplete="username" isRequired hint="What you will sign in as." />
        <Input
          label="Password"
          type="password"
          value={password}
          onChange={setPassword}
          autoComplete="new-password"
          isRequired
          hint="At least 12 characters. A few words that do not belong together are easy to keep."
        />
        <Refusal error={begin.error} />
        <Button type="submit" className="button primary wide" isPending={begin.isPending}>
          Continue
        </Button>
      </form>
      <p className="door-foot">
        Have an account? <Link to="/sign-in">Sign in</Link>
      </p>
    </Door>
  );
}

function App({ totp, invitation, name }: { totp: { otpauth: string; secret: string }; invitation: string; name: string }) {
  const [code, setCode] = useState('');
  const confirm = useMutation({
    mutationFn: () => take(api.POST('/api/v1/set-up/confirm', { body: { invitation, code: code.replaceAll(/\s/g, '') } })),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    confirm.mutate();
  };
  if (confirm.data) return <Codes codes={confirm.data.recovery_codes} name={name} />;
  return (
    <Door title="Add it to your app">
      <QrCode text={totp.otpauth} label="QR code for your authenticator app" />
      <div className="secret">
        <code>{totp.secret}</code>
        <CopyButton text={totp.secret} label="Copy the secret" />
      </div>
      <form onSubmit={submit} className="form">
        <Input
          label="Code"
          value={code}
          onChange={setCode}
          inputMode="numeric"
          autoComplete="one-time-code"
          isRequired
          hint="Scan the picture with your authenticator app, then type the six digits that it shows."
        />
        <Refusal error={confirm.error} />
        <Button type="submit" className="button primary wide" isPending={confirm.isPending}>
          Confirm
        </Button>
      </form>
    </Door>
  );
}

function Codes({ codes, name }: { codes: string[]; name: string }) {
  return (
    <Door title={`Welcome, ${name}`}>
      <p className="door-words">
        Keep these recovery codes where your phone is not. Each lets you in once without the app, and they are never shown
        again.
      </p>
      <ul className="codes" aria-label="Recovery codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
      <div className="row">
        <CopyButton text={codes.join('\n')} label="Copy the recovery codes" />
        <Link to="/sign-in" className="button primary wide">
          I have kept them: sign in
        </Link>
      </div>
    </Door>
  );
}

/** Drawn as one path: no picture is fetched and no markup is made from text. */
export function QrCode({ text, label }: { text: string; label: string }) {
  const { data, size } = encode(text, { ecc: 'M', border: 2 });
  const path = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ''))).join('');
  return (
    <svg className="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shapeRendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
