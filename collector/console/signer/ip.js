//! Addresses of the network as text and as bytes.

/** @param {Uint8Array} raw 4 bytes or 16 */
export function toText(raw) {
  if (raw.length === 4) return raw.join(".");
  const parts = Array.from({ length: 8 }, (_, at) => ((raw[2 * at] ?? 0) << 8) | (raw[2 * at + 1] ?? 0));
  return parts.map((part) => part.toString(16)).join(":");
}

/** @param {string} text */
export function fromText(text) {
  const bytes = text.includes(":") ? six(text) : four(text);
  if (bytes === null) throw new Error(`'${text}' is no address`);
  return Uint8Array.from(bytes);
}

/** @param {string} text */
function four(text) {
  const parts = text.split(".");
  const fits = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return fits ? parts.map(Number) : null;
}

/** Eight groups of four digits, of which `::` leaves out zeros; the last two may be an IPv4 address. @param {string} text */
function six(text) {
  const [before = "", after, more] = text.split("::");
  if (more !== undefined) return null;
  const [first, second] = [groups(before, after === undefined), groups(after ?? "", true)];
  if (first === null || second === null) return null;
  const missing = 16 - first.length - second.length;
  if (after === undefined ? missing !== 0 : missing < 2) return null;
  return [...first, ...Array(missing).fill(0), ...second];
}

/** @param {string} text @param {boolean} last whether the address ends here @returns {number[] | null} */
function groups(text, last) {
  if (text === "") return [];
  const parts = text.split(":");
  const found = parts.map((part, at) => {
    if (last && at === parts.length - 1 && part.includes(".")) return four(part);
    return /^[0-9a-f]{1,4}$/i.test(part) ? [parseInt(part, 16) >> 8, parseInt(part, 16) & 255] : null;
  });
  return found.includes(null) ? null : /** @type {number[]} */ (found.flat());
}
