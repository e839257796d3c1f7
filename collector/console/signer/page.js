//! The page itself: what is asked, what was made, and nothing that a stranger could write markup in.

import { asker } from "./asker.js";
import { fromHex, plain } from "./bytes.js";
import { readCommand } from "./command.js";
import { forRoster, kept, make, sign } from "./passkey.js";
import { inWords } from "./words.js";

/** An element with text or children; never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick" || key === "onsubmit") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const main = document.querySelector("main");
const show = (...children) => main.replaceChildren(...children);
const why = (error) => (error instanceof Error ? error.message : String(error));
const note = (kind, text) => element("p", { class: `note ${kind}`, role: kind === "bad" ? "alert" : "status" }, text);

function passkeyList() {
  const rows = kept().map((passkey) =>
    element(
      "li",
      {},
      element("strong", {}, plain(passkey.name)),
      element("code", { class: "id" }, passkey.id.slice(0, 12)),
      element("code", { class: "block" }, forRoster(passkey)),
    ),
  );
  if (rows.length === 0) return element("p", { class: "quiet" }, "None was made in this browser yet.");
  return element("ul", { class: "keys" }, ...rows);
}

/** Nobody asks: passkeys are shown and made. */
function showHome(said) {
  const name = element("input", { id: "name", name: "name", required: "", maxlength: "64", autocomplete: "off" });
  const form = element(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          const passkey = await make(name.value);
          showHome(note("good", `Made. Next: cordon roster make --add-passkey NAME=${forRoster(passkey)} …`));
        } catch (error) {
          showHome(note("bad", `No passkey was made: ${why(error)}`));
        }
      },
    },
    element("label", { for: "name" }, "A name for it, such as “ann, laptop”"),
    name,
    element("button", { class: "primary" }, "Make a passkey"),
  );
  show(
    element("h1", {}, "Signing passkeys"),
    element(
      "p",
      {},
      "Endpoints obey commands that a person signed. A passkey of this page signs them in the browser; the ",
      "collector’s own pages cannot use it. The console opens this page when something is to be signed.",
    ),
    ...(said ? [said] : []),
    passkeyList(),
    element("h2", {}, "Make one"),
    element("p", { class: "quiet" }, "It counts once the client’s roster names it, with what is shown after it was made."),
    form,
  );
}

function facts(list) {
  const rows = list.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  return element("dl", {}, ...rows);
}

/** The keys that may sign; those made here first, since they can be named to the browser. */
function candidates(keys) {
  const own = kept().filter((passkey) => keys.includes(passkey.id));
  const others = keys.filter((id) => !own.some((passkey) => passkey.id === id));
  return [...own.map((passkey) => ({ id: passkey.id, passkey })), ...others.map((id) => ({ id, passkey: undefined }))];
}

function keyChoice(choices) {
  if (choices.length < 2) return null;
  const options = choices.map(({ id, passkey }) =>
    element("option", { value: id }, passkey ? plain(passkey.name) : `another passkey, ${id.slice(0, 12)}`),
  );
  return element("select", { id: "key", "aria-label": "Passkey" }, ...options);
}

/** Somebody asks for a signature. */
function showRequest(ask, said) {
  let words;
  try {
    words = inWords(readCommand(ask.payload));
  } catch (error) {
    return showUnreadable(ask, why(error));
  }
  const choices = candidates(ask.keys);
  const select = keyChoice(choices);
  const signIt = async () => {
    const chosen = choices.find(({ id }) => id === (select?.value ?? choices[0].id));
    try {
      const value = await sign(ask.payload, fromHex(chosen.id), chosen.passkey);
      await ask.answer({ key: chosen.id, value });
      showEnd("Signed", "The signature was handed back. This window can be closed.");
    } catch (error) {
      showRequest(ask, note("bad", `It was not signed: ${why(error)}`));
    }
  };
  const signButton = element("button", { class: "primary", onclick: signIt }, "Sign with passkey");
  const none = note("bad", "Whoever asks names no passkey of yours. The client’s roster must have one of this page.");
  show(
    element("p", { class: "from" }, "Asked by ", element("code", {}, plain(ask.from))),
    element("h1", {}, words.title),
    ...words.warnings.map((text) => note("warn", text)),
    facts(words.facts),
    ...(said ? [said] : []),
    ...(choices.length === 0 ? [none] : []),
    element(
      "div",
      { class: "actions" },
      ...(select ? [select] : []),
      ...(choices.length > 0 ? [signButton] : []),
      element("button", { onclick: () => refuse(ask) }, "Do not sign"),
    ),
  );
}

function showUnreadable(ask, reason) {
  show(
    element("p", { class: "from" }, "Asked by ", element("code", {}, plain(ask.from))),
    element("h1", {}, "This cannot be shown, so it cannot be signed"),
    note("bad", reason),
    element("div", { class: "actions" }, element("button", { onclick: () => refuse(ask) }, "Close")),
  );
}

async function refuse(ask) {
  await ask.answer({ refused: "the person did not sign" }).catch(() => {});
  showEnd("Not signed", "Nothing was handed over.");
}

function showEnd(title, text) {
  show(element("h1", {}, title), element("p", {}, text));
}

async function start() {
  try {
    if (window.top !== window) throw new Error("it does not work inside another page");
    if (!window.PublicKeyCredential) throw new Error("this browser has no passkeys for this address");
    showHome();
    const ask = await asker();
    if (ask) showRequest(ask);
  } catch (error) {
    show(element("h1", {}, "This page cannot sign"), note("bad", why(error)));
  }
}

await start();
