//! Shapes that decoded CBOR must have. What a shape does not know is refused: nobody signs what
//! this page could not show.

class Unknown extends Error {}

const refuse = (what) => {
  throw new Unknown(`it holds ${what} that this page does not know; a newer page may`);
};

export const number = (max = Number.MAX_SAFE_INTEGER) => (value) =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max ? value : refuse("a number");

/** Any whole number that is not negative, however large. */
export const count = (value) =>
  (typeof value === "number" || typeof value === "bigint") && value >= 0 ? value : refuse("a number");

export const bool = (value) => (typeof value === "boolean" ? value : refuse("a yes or no"));

export const string = (value) => (typeof value === "string" ? value : refuse("a text"));

/** Text that may not be UTF-8, as paths are. */
export const text = (value) =>
  value instanceof Uint8Array ? new TextDecoder("latin1").decode(value) : string(value);

export const bytes =
  (...lengths) =>
  (value) =>
    value instanceof Uint8Array && lengths.includes(value.length) ? value : refuse("a run of bytes");

export const list = (of) => (value) => (Array.isArray(value) ? value.map(of) : refuse("a list"));

/** Marks a field that may be missing. */
export const optional = (of) => Object.assign((value) => (value == null ? null : of(value)), { optional: true });

/** A numbered word. @param {string[]} words */
export const word =
  (...words) =>
  (value) =>
    (typeof value === "number" && words[value]) || refuse("a choice");

/** An array of fields in their order; those at the end that may be missing can be left out. */
export const struct = (fields) => {
  const entries = Object.entries(fields);
  return (value) => {
    if (!Array.isArray(value) || value.length > entries.length) refuse("a part");
    return Object.fromEntries(
      entries.map(([name, of], at) => {
        if (at >= value.length && !of.optional) refuse("a part");
        return [name, of(value[at])];
      }),
    );
  };
};

/** A number that says which, and the fields of that one: `{ kind, ...fields }`. */
export const variant =
  (...variants) =>
  (value) => {
    const [at, fields] = Array.isArray(value) && value.length === 2 ? value : refuse("a part");
    const [kind, of] = (typeof at === "number" && variants[at]) || refuse("an action");
    return { kind, ...of(fields) };
  };
