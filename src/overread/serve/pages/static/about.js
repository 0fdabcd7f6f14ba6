// The model page: what it is for, what it reached in its test, how it says no.

import { getJson } from "./api.js";
import { fillPage, find, h, svg } from "./dom.js";
import { markdown } from "./markdown.js";
import { leakyBanner, limits, trained } from "./model.js";
import { openSwitch, showFailure } from "./shell.js";
import { bind, className, currentLanguage, limit, list, loadTexts } from "./texts.js";
import { number, percent, sentences, subject, t } from "./texts.js";
import { neverRuledOut } from "./words.js";

const SHARES = ["accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "npv"];
const HEADLINES = [
  "accuracy",
  "balanced_accuracy",
  "macro_auroc",
  "macro_f1",
  "mcc",
  "brier",
  "nll",
];
const OF_A_CLASS = ["sensitivity", "specificity", "precision", "npv", "auroc"];
// What a bundle says where its author said nothing.
const UNSAID = "author must supply";

async function start() {
  await loadTexts();
  fillPage();
  openSwitch();
  const entries = (await getJson("/v1/models")).models;
  const asked = new URLSearchParams(location.search).get("model");
  const id = entries.some((entry) => entry.id === asked) ? asked : entries[0].id;
  const select = find("#model");
  for (const entry of entries) select.append(h("option", { value: entry.id, text: entry.id }));
  select.value = id;
  find("#chooser").hidden = entries.length < 2;
  select.addEventListener("change", () => {
    location.search = `?model=${encodeURIComponent(select.value)}`;
  });
  show(await getJson(`/v1/model?name=${encodeURIComponent(id)}`));
  document.body.dataset.ready = "yes";
}

function show(model) {
  const made = () =>
    t("about.subtitle", { version: model.version, created: model.created.slice(0, 10) });
  find("#name").textContent = model.name;
  find("#made").append(h("span", { text: made }));
  find("#leaky").append(leakyBanner(model) ?? "");
  find("#use").append(use(model));
  find("#trained").append(...lines(() => trained(model)));
  find("#limits").append(...lines(() => limits(model)));
  find("#results").append(...results(model));
  find("#refusals").append(...refusals(model));
  find("#file").append(file(model));
  const card = find("#card");
  bind(card, () => card.replaceChildren(...markdown(model.card[currentLanguage()])));
}

const lines = (said) => said().map((_, at) => h("p", { text: () => said()[at] }));
const stated = (text) => () => (text && text !== UNSAID ? text : t("about.missing"));

function facts(rows) {
  const parts = rows.filter(Boolean).flatMap(([key, value]) => [
    h("dt", { text: () => t(key) }),
    h("dd", { text: value }),
  ]);
  return h("dl", { class: "facts" }, ...parts);
}

function use(model) {
  return facts([
    ["about.subject", () => subject(model) || t("about.subject_unknown")],
    ["about.classes", () => list(model.classes.map(className))],
    ["about.intended", stated(model.intended_use)],
    ["about.licence", stated(model.licence)],
  ]);
}

function file(model) {
  const versions = Object.entries(model.versions).map(([name, version]) => `${name} ${version}`);
  return facts([
    ["about.name", `${model.name} ${model.version}`],
    ["about.hash", model.sha256],
    ["about.recipe", model.recipe],
    versions.length ? ["about.versions", () => list(versions)] : null,
  ]);
}

function results(model) {
  const rows = HEADLINES.filter((name) => model.results[name]?.ci95).map((name) =>
    row(() => t(`figure.${name}`), model.results[name], SHARES.includes(name), scaleOf(name)),
  );
  if (!rows.length) return [h("p", { text: () => t("about.no_results") })];
  const stale = model.leaky ? h("p", { class: "leaky", text: () => t("leaky.short") }) : "";
  const parts = [stale, h("p", { class: "note", text: () => t("about.results_note") }), table(rows)];
  const answers = whenAnswering(model);
  if (answers.length)
    parts.push(h("h3", { text: () => t("about.by_answer") }), table(answers));
  const classes = byClass(model);
  if (classes.length) parts.push(h("h3", { text: () => t("about.by_class") }), ...classes);
  return parts;
}

function whenAnswering({ results, classes }) {
  const rows = ["answered.coverage", "answered.accuracy"]
    .filter((name) => results[name]?.ci95)
    .map((name) => row(() => t(`figure.${name}`), results[name], true));
  for (const name of classes) {
    const found = results[`answered.precision.${name}`];
    const words = () => t("figure.answered.precision", { label: className(name) });
    if (found?.ci95) rows.push(row(words, found, true));
  }
  return rows;
}

function byClass({ results, classes }) {
  return classes.flatMap((name) => {
    const rows = OF_A_CLASS.filter((figure) => results[`${figure}.${name}`]?.ci95).map((figure) =>
      row(() => t(`figure.${figure}`), results[`${figure}.${name}`], SHARES.includes(figure)),
    );
    return rows.length ? [h("h4", { text: () => className(name) }), table(rows)] : [];
  });
}

function table(rows) {
  const heads = ["figure", "value", "interval", "n"].map((name) =>
    h("th", { scope: "col", text: () => t(`about.${name}`) }),
  );
  const empty = h("td", { class: "range", "aria-hidden": "true" });
  const head = h("tr", {}, ...heads, empty);
  return h("table", { class: "results" }, h("thead", {}, head), h("tbody", {}, ...rows));
}

// A figure, its interval in numbers and as a line on `scale`, and its n.
function row(words, { value, ci95, n }, share, scale = [0, 1]) {
  const shown = (x) => (share ? `${(100 * x).toFixed(1)}%` : x.toFixed(3).replace("-", "−"));
  return h(
    "tr",
    {},
    h("th", { scope: "row", text: words }),
    h("td", { class: "value", text: shown(value) }),
    h("td", { text: `${shown(ci95[0])} – ${shown(ci95[1])}` }),
    h("td", { text: n ? () => number(n, 0) : "–" }),
    h("td", { class: "range", "aria-hidden": "true" }, scale ? whisker(value, ci95, scale) : ""),
  );
}

function scaleOf(name) {
  return { mcc: [-1, 1], nll: null, brier: null }[name];
}

function whisker(value, [low, high], [from, to]) {
  const x = (at) => (100 * (at - from)) / (to - from);
  return svg(
    "svg",
    { viewBox: "-4 0 108 12", class: "whisker" },
    svg("line", { class: "axis", x1: 0, x2: 100, y1: 6, y2: 6 }),
    svg("line", { class: "reach", x1: x(low), x2: x(high), y1: 6, y2: 6 }),
    svg("circle", { cx: x(value), cy: 6, r: 3.5 }),
  );
}

function refusals(model) {
  const { quality, ood, operating_point: point, results } = model;
  const names = neverRuledOut(model);
  const never = () =>
    names.length ? t("about.no_single_never", { classes: list(names.map(className)) }) : "";
  const steps = [
    ["about.no_quality", () => t("about.no_quality_text", qualityWords(quality))],
    [
      "about.no_ood",
      () =>
        ood
          ? t("about.no_ood_text", {
              limit: number(ood.threshold),
              accepted: percent(ood.accepted),
            })
          : t("about.no_ood_none"),
    ],
    [
      "about.no_sure",
      () =>
        model.multilabel
          ? t("about.no_sure_many", { limit: limit(point.confidence) })
          : t("about.no_sure_text", { limit: limit(point.confidence) }),
    ],
    lastStep(model, never),
  ];
  const items = steps.map(([name, words]) =>
    h("li", {}, h("strong", { text: () => t(name) }), h("p", { text: words })),
  );
  const share = results["answered.coverage"];
  return [
    h("p", { text: () => t("about.no_intro") }),
    h("ol", { class: "steps" }, ...items),
    share?.ci95 ? h("p", { class: "lede", text: () => t("about.share", sharesOf(share)) }) : "",
  ];
}

// One class must remain possible; of several findings, for each either yes or no.
function lastStep({ multilabel, conformal }, never) {
  const name = multilabel ? "about.no_open" : "about.no_single";
  const words = (text) => t(text, { coverage: percent(conformal.coverage) });
  if (!conformal) return [name, () => t("about.no_single_none")];
  if (multilabel) return [name, () => words("about.no_open_text")];
  return [name, () => sentences(words("about.no_single_text"), never())];
}

function qualityWords(quality) {
  return {
    min_side: quality.min_side,
    min_contrast: number(quality.min_contrast, 1),
    min_sharpness: number(quality.min_sharpness, 4),
    max_dark: percent(quality.max_dark),
    max_bright: percent(quality.max_bright),
  };
}

function sharesOf({ value, ci95, n }) {
  const [low, high] = ci95.map((end) => `${(100 * end).toFixed(1)}%`);
  return { value: `${(100 * value).toFixed(1)}%`, low, high, n: n ?? "–" };
}

start().catch(showFailure);
