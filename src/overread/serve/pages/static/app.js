// The page: images in, answers out.

import { Card } from "./answer.js";
import { getJson, predict, Trouble } from "./api.js";
import { fillPage, find, h } from "./dom.js";
import { openIntake } from "./intake.js";
import { currentKey, forgetKey } from "./key.js";
import { leakyBanner, limits, scope, trained } from "./model.js";
import { bind, loadTexts, megabytes, release, t } from "./texts.js";
import { openSwitch, showFailure } from "./shell.js";
import { saveJson, savePdf } from "./save.js";

const MAX_BYTES = Number(document.body.dataset.maxBytes);
// What a browser shows by itself; of everything else the server sends a picture.
const SHOWN = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"];
const TRIES = 3;
const PATIENCE_S = 15;

const models = new Map();
const done = [];
let cards = [];
let model;
let queue = Promise.resolve();
let making = false;

async function start() {
  await loadTexts();
  fillPage();
  openSwitch();
  bind(find("#formats"), () => {
    find("#formats").textContent = t("intake.formats", { size: megabytes(MAX_BYTES) });
  });
  await showModels();
  openIntake(take, () => say(() => t("camera.denied"), "#camera-trouble"));
  find("#print").addEventListener("click", () => window.print());
  find("#pdf").addEventListener("click", paper);
  find("#json").addEventListener("click", () => saveJson(done));
  find("#clear").addEventListener("click", clear);
  find("#forget").addEventListener("click", () => {
    forgetKey();
    find("#forget").hidden = true;
  });
  openRecordsForPrint();
  document.body.dataset.ready = "yes";
}

async function showModels() {
  const entries = (await getJson("/v1/models")).models;
  const select = find("#model");
  for (const { id } of entries) select.append(h("option", { value: id, text: id }));
  find("#chooser").hidden = entries.length < 2;
  select.addEventListener("change", () => choose(select.value).catch(showFailure));
  await choose(entries[0].id);
  find("#forget").hidden = !currentKey();
}

async function choose(id) {
  if (!models.has(id)) models.set(id, await getJson(`/v1/model?name=${encodeURIComponent(id)}`));
  model = models.get(id);
  const about = find("#basis");
  for (const place of [find("#scope"), find("#leaky"), about]) {
    release(place);
    place.replaceChildren();
  }
  find("#scope").append(h("span", { text: () => scope(model) }));
  find("#leaky").append(leakyBanner(model) ?? "");
  const lines = [...trained(model), ...limits(model)];
  for (const line of lines.keys())
    about.append(h("p", { text: () => [...trained(model), ...limits(model)][line] }));
  const query = models.size > 1 || entriesShown() ? `?model=${encodeURIComponent(id)}` : "";
  for (const link of document.querySelectorAll("a.about")) link.href = `/about${query}`;
}

const entriesShown = () => !find("#chooser").hidden;

// Files of one choice stand together, newest choice first; they are sent one after another.
function take(files) {
  for (const place of ["#camera-trouble", "#tools-trouble"]) say(() => "", place);
  const batch = { cards: files.map((file) => new Card(file)), model, found: new Map() };
  batch.heading = files.length > 1 ? h("h2", { tabindex: "-1" }) : null;
  batch.element = h("section", { class: "batch" }, batch.heading);
  batch.element.append(...batch.cards.map((card) => card.element));
  cards.push(...batch.cards);
  find("#results").prepend(batch.element);
  document.body.classList.add("busy", "has-results");
  for (const card of batch.cards) card.progress = card.showProgress();
  queue = queue.then(() => work(batch));
}

async function work(batch) {
  for (const card of batch.cards) {
    await answer(card, batch);
    say(() => t("work.done", { done: batch.found.size, all: batch.cards.length }));
  }
  if (batch.heading) bind(batch.heading, () => (batch.heading.textContent = summary(batch)));
  document.body.classList.remove("busy");
  if (batch.element.isConnected) goTo(batch.heading ?? batch.cards[0].heading);
}

async function answer(card, batch) {
  const { model } = batch;
  try {
    const found = await patiently(card, model);
    batch.found.set(card, found.status);
    done.push({ filename: card.file.name, time: new Date().toISOString(), ...found });
    card.showAnswer(found, model);
    document.body.classList.add("has-answers");
  } catch (trouble) {
    if (!(trouble instanceof Trouble)) throw trouble;
    batch.found.set(card, "failed");
    card.showTrouble(trouble, () => again(card, batch), MAX_BYTES);
  }
}

function again(card, batch) {
  card.progress = card.showProgress();
  queue = queue.then(async () => {
    await answer(card, batch);
    if (batch.heading) batch.heading.textContent = summary(batch);
    goTo(card.heading);
  });
}

// A busy server is asked again after the time it names, a few times.
async function patiently(card, model) {
  if (card.file.size > MAX_BYTES) throw new Trouble("413");
  const wanted = {
    model: model.id,
    heatmap: model.heatmap,
    preview: !SHOWN.includes(card.file.type),
    onSent: card.progress.sent,
  };
  for (let tried = 1; ; tried += 1) {
    try {
      card.progress.sent(0);
      return await predict(card.file, wanted);
    } catch (trouble) {
      const wait = trouble.retryAfter;
      const busy = trouble.kind === "503" || trouble.kind === "429";
      if (!busy || !wait || wait > PATIENCE_S || tried === TRIES) throw trouble;
      card.progress.busy(wait);
      await new Promise((go) => setTimeout(go, 1000 * wait));
    }
  }
}

async function paper() {
  // Not disabled: a button that is loses the focus.
  if (making) return;
  making = true;
  say(() => "", "#tools-trouble");
  say(() => t("paper.working"));
  try {
    await savePdf(cards.filter((card) => card.answer));
    say(() => t("paper.done"));
  } catch (error) {
    console.warn(error);
    say(() => t("paper.failed"), "#tools-trouble");
  }
  making = false;
}

function summary({ cards, found }) {
  const values = { all: cards.length, answer: 0, refer: 0, reject: 0, failed: 0 };
  for (const status of found.values()) values[status] += 1;
  return values.failed ? t("batch.heading_failed", values) : t("batch.heading", values);
}

// The answer gets the focus, unless the person is busy elsewhere.
function goTo(heading) {
  const at = document.activeElement;
  if (at && at.closest("#results, dialog") && at.isConnected) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  heading.focus({ preventScroll: true });
  // What can be done with the answers stands above the newest of them.
  const newest = heading === find("#results :is(h2, h3)");
  const top = newest ? find("#tools") : heading;
  top.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

function say(words, place = "#status") {
  const element = find(place);
  release(element);
  bind(element, () => (element.textContent = words()));
}

function clear() {
  for (const card of cards) card.discard();
  cards = [];
  done.length = 0;
  release(find("#results"));
  find("#results").replaceChildren();
  document.body.classList.remove("has-results", "has-answers");
  say(() => t("tools.cleared"));
  find("#choose-button").focus();
}

function openRecordsForPrint() {
  const opened = new Set();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details.record:not([open])")) {
      details.open = true;
      opened.add(details);
    }
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    opened.clear();
  });
}

start().catch(showFailure);
