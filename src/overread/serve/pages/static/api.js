// Talking to the server: uploads with progress, a key where one is asked for, clear failures.

import { askForKey, currentKey } from "./key.js";

const KNOWN = [401, 403, 404, 408, 413, 415, 422, 429, 503];

// Problems that have words of their own: a 503 that no waiting will mend.
const NAMED = { "urn:overread:problem:no-case-log": "no_log" };

// What went wrong, as a word for the catalogue: "offline", "no_log", a status, or "other".
export class Trouble extends Error {
  constructor(kind, { detail = "", retryAfter = 0 } = {}) {
    super(kind);
    Object.assign(this, { kind, detail, retryAfter });
  }
}

export const getJson = (path) => send("GET", path);
export const postJson = (path, body) =>
  send("POST", path, { body: JSON.stringify(body), type: "application/json" });

// One image in, its prediction out. `onSent` hears the share that has been sent, 0 to 1.
export async function predict(file, { model, heatmap, preview, onSent }) {
  const query = new URLSearchParams({ model });
  if (heatmap) query.set("heatmap", "png");
  if (preview) query.set("preview", "jpeg");
  const form = new FormData();
  form.append("images", file, file.name);
  const reply = await send("POST", `/v1/predict?${query}`, { body: form, onSent });
  return reply.predictions[0];
}

async function send(method, path, options = {}) {
  for (;;) {
    const key = currentKey();
    try {
      return await attempt(method, path, options, key);
    } catch (trouble) {
      if (trouble.kind !== "401" || !(await askForKey({ refused: key }))) throw trouble;
    }
  }
}

function attempt(method, path, { body, type, onSent }, key) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.responseType = "json";
    if (type) request.setRequestHeader("Content-Type", type);
    // Encoded: a header takes no other letters, and a key has none.
    if (key) request.setRequestHeader("Authorization", `Bearer ${encodeURI(key)}`);
    if (onSent)
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) onSent(event.loaded / event.total);
      });
    request.addEventListener("error", () => reject(new Trouble("offline")));
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300 && request.response)
        resolve(request.response);
      else reject(troubleOf(request));
    });
    request.send(body);
  });
}

function troubleOf(request) {
  const { status, response } = request;
  const named = status === 503 ? NAMED[response?.type] : undefined;
  const kind = named ?? (KNOWN.includes(status) ? String(status) : "other");
  const retryAfter = Number(request.getResponseHeader("Retry-After")) || 0;
  return new Trouble(kind, { detail: response?.detail ?? "", retryAfter });
}
