// Why something was refused, said where it was asked for and read out at once.

interface Refused {
  error: Error | null | undefined;
}

/** Below a form; its place is kept, so that nothing jumps. */
export function Refusal({ error, words }: Refused & { words?: (error: Error) => string }) {
  return (
    <p className="refusal" role="alert">
      {error ? (words?.(error) ?? error.message) : null}
    </p>
  );
}

/** At the end of a panel. */
export function PanelRefusal({ error }: Refused) {
  return error ? (
    <p className="refusal padded" role="alert">
      {error.message}
    </p>
  ) : null;
}
