// Signing in: with a passkey, or with a password and then a code.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { Fingerprint } from 'lucide-react';
import { type FormEvent, type ReactNode, useState } from 'react';
import { Button } from 'react-aria-components';

import { api, take } from '../api/client';
import { passkeyWords, signInWithPasskey } from '../api/passkey';
import { session } from '../api/queries';
import { Input } from '../parts/Input';
import { useTitle } from '../parts/Page';
import { Refusal } from '../parts/Refusal';
import { Mark } from '../shell/Logo';

/** The frame of the pages that come before anybody is somebody. */
export function Door({ title, children }: { title: string; children: ReactNode }) {
  useTitle(title);
  return (
    <main className="door">
      <div className="door-card">
        <div className="door-mark">
          <Mark size={34} />
          <span>Cordon</span>
        </div>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

/** Where to go afterwards: a path of this console and nothing else. */
function inside(to: string | undefined): string {
  return to?.startsWith('/') && !to.startsWith('//') && !to.startsWith('/\\') ? to : '/';
}

export function SignIn() {
  const { to } = useSearch({ from: '/sign-in' });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [pending, setPending] = useState<string | null>(null);
  const opened = async () => {
    queries.clear();
    await queries.fetchQuery(session);
    await navigate({ to: inside(to), replace: true });
  };
  const passkey = useMutation({ mutationFn: signInWithPasskey, onSuccess: opened });
  if (pending) return <Second pending={pending} opened={opened} back={() => setPending(null)} />;
  return (
    <Door title="Sign in">
      <Button className="button primary wide" isPending={passkey.isPending} onPress={() => passkey.mutate()}>
        <Fingerprint size={17} aria-hidden /> Sign in with a passkey
      </Button>
      <Refusal error={passkey.error} words={passkeyWords} />
      <p className="or">
        <span>or with your password</span>
      </p>
      <Password done={setPending} />
      <p className="door-foot">
        Invited? <Link to="/set-up">Set your account up</Link>
      </p>
    </Door>
  );
}

function Password({ done }: { done: (pending: string) => void }) {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const half = useMutation({
    mutationFn: () => take(api.POST('/api/v1/sign-in/password', { body: { name: name.trim(), password } })),
    onSuccess: ({ pending }) => done(pending),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    half.mutate();
  };
  return (
    <form onSubmit={submit} className="form">
      <Input label="Name" value={name} onChange={setName} autoComplete="username" isRequired />
      <Input label="Password" type="password" value={password} onChange={setPassword} autoComplete="current-password" isRequired />
      <Refusal error={half.error} />
      <Button type="submit" className="button wide" isPending={half.isPending}>
        Continue
      </Button>
    </form>
  );
}

function Second({ pending, opened, back }: { pending: string; opened: () => Promise<void>; back: () => void }) {
  const [code, setCode] = useState('');
  const [isRecovery, setRecovery] = useState(false);
  const second = useMutation({
    mutationFn: () =>
      api.POST('/api/v1/sign-in/second', {
        body: { pending, browser: true, ...(isRecovery ? { recovery_code: code.trim() } : { code: code.replaceAll(/\s/g, '') }) },
      }),
    onSuccess: opened,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    second.mutate();
  };
  return (
    <Door title="One more thing">
      <form onSubmit={submit} className="form">
        {isRecovery ? (
          <Input key="recovery" label="Recovery code" value={code} onChange={setCode} autoFocus isRequired hint="Each works once." />
        ) : (
          <Input
            key="code"
            label="Code"
            value={code}
            onChange={setCode}
            inputMode="numeric"
            autoComplete="one-time-code"
            autoFocus
            isRequired
            hint="Six digits, from your authenticator app."
          />
        )}
        <Refusal error={second.error} />
        <Button type="submit" className="button primary wide" isPending={second.isPending}>
          Sign in
        </Button>
      </form>
      <p className="door-foot">
        <Button className="link" onPress={() => setRecovery(!isRecovery)}>
          {isRecovery ? 'Use the app’s code' : 'Use a recovery code'}
        </Button>
        <Button className="link" onPress={back}>
          Begin again
        </Button>
      </p>
    </Door>
  );
}
