// The key of a server that asks for one. Kept in this tab only, and sent to this server only.

import { h } from "./dom.js";
import { release, t } from "./texts.js";

const KEPT = "overread.key";
let key = read();
let asking = null;

export const currentKey = () => key;

export function forgetKey() {
  key = "";
  write();
}

// Ask until a key is given (true) or the person gives up (false); one question at a time.
// `refused`: the key that the server did not take, "" when none was sent.
export function askForKey({ refused }) {
  if (refused !== key) return Promise.resolve(key !== "");
  asking ??= ask(refused !== "").finally(() => (asking = null));
  return asking;
}

function ask(refused) {
  return new Promise((resolve) => {
    const input = h("input", {
      id: "key",
      type: "password",
      autocomplete: "off",
      required: true,
      "aria-describedby": "key-note",
    });
    const note = () => (refused ? t("key.refused") : t("key.text"));
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "key-heading", text: () => t("key.heading") }),
      h("p", { id: "key-note", class: refused ? "wrong" : null, text: note }),
      h("label", { for: "key", text: () => t("key.label") }),
      input,
      h(
        "div",
        { class: "row" },
        h("button", { class: "primary", text: () => t("key.use") }),
        h("button", {
          type: "button",
          text: () => t("app.close"),
          on: { click: () => dialog.close() },
        }),
      ),
    );
    const dialog = h("dialog", { "aria-labelledby": "key-heading" }, form);
    let given = false;
    form.addEventListener("submit", () => {
      key = input.value.trim();
      given = key !== "";
      write();
    });
    dialog.addEventListener("close", () => {
      release(dialog);
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}

function read() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

function write() {
  try {
    if (key) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // A browser that keeps nothing: the key holds until the page is left.
  }
}
