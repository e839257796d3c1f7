//! Who asks for a signature: the window that opened this page, or the terminal program beside it.
//!
//! Both bring the command's bytes and the ids of keys that count; neither is believed about what
//! the command says.

import { fromBase64url } from "./bytes.js";

const PROTOCOL = "cordon-signer/1";

/**
 * @typedef {object} Asker
 * @property {string} from who asks, for the person
 * @property {Uint8Array} payload the command
 * @property {string[]} keys ids of the keys that may sign, in hexadecimal
 * @property {(answer: { key: string, value: string } | { refused: string }) => Promise<void>} answer
 */

/** Waits for whoever asks; null if nobody does. @returns {Promise<Asker | null>} */
export function asker() {
  const terminal = /^#ask=([0-9a-f]{32})$/.exec(location.hash);
  if (terminal) return fromTerminal(terminal[1]);
  return window.opener ? fromOpener(window.opener) : Promise.resolve(null);
}

function read(from, ask, answer) {
  const keys = Array.isArray(ask.keys) ? ask.keys.filter((key) => /^[0-9a-f]{64}$/.test(key)) : [];
  return { from, payload: fromBase64url(String(ask.command)), keys, answer };
}

async function fromTerminal(token) {
  const asked = await fetch(`/ask/${token}`);
  if (!asked.ok) throw new Error("the terminal no longer waits for this signature");
  return read("the terminal program on this machine", await asked.json(), async (answer) => {
    const given = await fetch(`/ask/${token}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(answer),
    });
    if (!given.ok) throw new Error(await given.text());
  });
}

function fromOpener(opener) {
  return new Promise((resolve, reject) => {
    const listen = (event) => {
      if (event.source !== opener || event.data?.protocol !== PROTOCOL || event.data.says !== "ask") return;
      window.removeEventListener("message", listen);
      try {
        resolve(
          read(event.origin, event.data, async (answer) => {
            opener.postMessage({ protocol: PROTOCOL, says: "answer", ...answer }, event.origin);
          }),
        );
      } catch (error) {
        reject(error);
      }
    };
    window.addEventListener("message", listen);
    // Whoever opened this page learns nothing but that it is ready to be asked.
    opener.postMessage({ protocol: PROTOCOL, says: "ready" }, "*");
  });
}
