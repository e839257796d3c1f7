//! Shapes that decoded CBOR must have, each read and written by one description. What a shape does
//! not know is refused: nobody signs what this page could not show.

/**
 * @template T
 * @typedef {{ read: (value: unknown) => T, write: (value: T) => unknown, optional?: boolean }} Shape
 */
/** @typedef {Shape<any>} AnyShape */
/** What a shape describes. @template S @typedef {S extends Shape<infer T> ? T : never} Of */
/** @template {Record<string, AnyShape>} F @typedef {{ [K in keyof F]: Of<F[K]> }} Fields */
/** @template {Record<string, AnyShape>} V @typedef {{ [K in keyof V]: { kind: K } & Of<V[K]> }[keyof V]} OneOf */

class Unknown extends Error {}

/** @param {string} what @returns {never} */
const refuse = (what) => {
  throw new Unknown(`it holds ${what} that this page does not know; a newer page may`);
};

/** Stands on the wire as it is. @template T @param {(value: unknown) => T} check @returns {Shape<T>} */
const plain = (check) => ({ read: check, write: check });

export const number = (max = Number.MAX_SAFE_INTEGER) =>
  plain((value) =>
    typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max ? value : refuse("a number"),
  );

/** Any whole number that is not negative, however large. */
export const count = plain((value) =>
  (Number.isInteger(value) || typeof value === "bigint") && /** @type {number | bigint} */ (value) >= 0
    ? /** @type {number | bigint} */ (value)
    : refuse("a number"),
);

export const bool = plain((value) => (typeof value === "boolean" ? value : refuse("a yes or no")));

export const string = plain((value) => (typeof value === "string" ? value : refuse("a text")));

/** Text, as bytes where it is not UTF-8, as paths may be. */
export const text = plain((value) =>
  typeof value === "string" || value instanceof Uint8Array ? value : refuse("a text"),
);

/** @param {number[]} lengths */
export const bytes = (...lengths) =>
  plain((value) => (value instanceof Uint8Array && lengths.includes(value.length) ? value : refuse("a run of bytes")));

/**
 * The same in words of people.
 * @template A, B
 * @param {Shape<A>} of @param {(value: A) => B} read @param {(value: B) => A} write @returns {Shape<B>}
 */
export const as = (of, read, write) => ({
  read: (value) => read(of.read(value)),
  write: (value) => of.write(write(value)),
});

/** @template T @param {Shape<T>} of @returns {Shape<T[]>} */
export const list = (of) => ({
  read: (value) => (Array.isArray(value) ? value.map(of.read) : refuse("a list")),
  write: (value) => value.map(of.write),
});

/** Marks a field that may be missing. @template T @param {Shape<T>} of @returns {Shape<T | null>} */
export const optional = (of) => ({
  optional: true,
  read: (value) => (value == null ? null : of.read(value)),
  write: (value) => (value == null ? null : of.write(value)),
});

/** A numbered word. @template {string} W @param {W[]} words @returns {Shape<W>} */
export const word = (...words) => ({
  read: (value) => (typeof value === "number" && words[value]) || refuse("a choice"),
  write: (value) => (words.includes(value) ? words.indexOf(value) : refuse("a choice")),
});

/**
 * An array of fields in their order; those at the end that may be missing can be left out, and are.
 * @template {Record<string, AnyShape>} F @param {F} fields @returns {Shape<Fields<F>>}
 */
export const struct = (fields) => {
  const entries = Object.entries(fields);
  return {
    read: (value) => {
      if (!Array.isArray(value) || value.length > entries.length) return refuse("a part");
      const found = entries.map(([name, of], at) => {
        if (at >= value.length && !of.optional) refuse("a part");
        return [name, of.read(value[at])];
      });
      return /** @type {Fields<F>} */ (Object.fromEntries(found));
    },
    write: (value) => {
      const written = entries.map(([name, of]) => of.write(value[name]));
      while (written.length > 0 && written.at(-1) === null && entries[written.length - 1]?.[1].optional) written.pop();
      return written;
    },
  };
};

/**
 * A number that says which, in the order here, and the fields of that one: `{ kind, ...fields }`.
 * @template {Record<string, AnyShape>} V @param {V} variants @returns {Shape<OneOf<V>>}
 */
export const variant = (variants) => {
  const kinds = Object.keys(variants);
  return {
    read: (value) => {
      const [at, fields] = Array.isArray(value) && value.length === 2 ? value : refuse("a part");
      const kind = (typeof at === "number" && kinds[at]) || refuse("an action");
      return { kind, ...variants[kind]?.read(fields) };
    },
    write: (value) => {
      const kind = String(value.kind);
      const at = kinds.includes(kind) ? kinds.indexOf(kind) : refuse("an action");
      return [at, variants[kind]?.write(value)];
    },
  };
};

/** A variant's only field, itself a structure, becomes the variant's fields. @template T @param {Shape<T>} of @returns {Shape<T>} */
export const inner = (of) => {
  const only = struct({ of });
  return { read: (value) => only.read(value).of, write: (value) => only.write({ of: value }) };
};
