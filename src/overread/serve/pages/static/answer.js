// One image on the page: while it is sent, when it fails, and its answer.

import { h, icon } from "./dom.js";
import { feedbackForm } from "./feedback.js";
import { bind, className, limit, list, megabytes, number } from "./texts.js";
import { percent, sentences, t, time } from "./texts.js";
import { faults, headline, next, reason, reliability } from "./words.js";

let count = 0;

// The place of one image; `show…` replace what is in it.
export class Card {
  constructor(file) {
    this.file = file;
    this.id = `case-${(count += 1)}`;
    this.url = URL.createObjectURL(file);
    this.heading = h("h3", { id: `${this.id}-heading`, tabindex: "-1" });
    this.element = h("article", { class: "case", "aria-labelledby": this.heading.id });
  }

  showProgress() {
    const name = () => t("work.progress", { name: this.file.name });
    const bar = h("progress", { max: "1", value: "0", "aria-label": name });
    const words = h("p", { class: "note" });
    let say = () => t("work.waiting");
    bind(words, () => (words.textContent = say()));
    this.#fill("working", this.#fileName(), bar, words);
    const tell = (sentence) => {
      say = sentence;
      words.textContent = say();
    };
    return {
      sent: (share) => {
        if (share < 1) bar.value = share;
        else bar.removeAttribute("value");
        tell(() => (share < 1 ? t("work.sending", { percent: percent(share) }) : t("work.reading")));
      },
      busy: (seconds) => tell(() => t("work.busy", { seconds })),
    };
  }

  showTrouble(trouble, retry, maxBytes) {
    bind(this.heading, () =>
      this.heading.replaceChildren(icon("trouble"), t(`trouble.${trouble.kind}`)),
    );
    const size = megabytes(maxBytes);
    const button = h("button", { class: "primary", text: () => t("app.retry"), on: { click: retry } });
    const parts = [
      this.#fileName(),
      this.heading,
      h("p", { text: () => t(`trouble.${trouble.kind}.next`, { size }) }),
      trouble.retryAfter
        ? h("p", { text: () => t("trouble.retry_in", { seconds: trouble.retryAfter }) })
        : null,
      trouble.detail
        ? h("p", { class: "note", text: () => t("trouble.detail", { detail: trouble.detail }) })
        : null,
      trouble.kind === "413" || trouble.kind === "415" ? null : button,
    ];
    this.#fill("trouble", ...parts);
  }

  showAnswer(found, model) {
    bind(this.heading, () =>
      this.heading.replaceChildren(icon(found.status), headline(found, model)),
    );
    const right = found.status === "answer" ? h("p", { class: "lede" }) : null;
    if (right) bind(right, () => (right.textContent = reliability(found, model)));
    const head = h(
      "div",
      { class: "head" },
      this.#fileName(),
      this.heading,
      right,
      right && model.leaky ? h("p", { class: "leaky", text: () => t("leaky.short") }) : null,
      h("p", { text: () => reason(found, model) }),
      adviceOn(found),
      h("p", { class: "next", text: () => next(found, model) }),
    );
    const rest = h(
      "div",
      { class: "rest" },
      bars(found, model),
      quality(found),
      found.case && found.code !== "unreadable" ? feedbackForm(found.case, model.classes, this.id) : null,
      record(found, model, this.file.name),
      h("p", { class: "note notice", text: () => t("app.notice") }),
    );
    const seen = found.code !== "unreadable";
    this.element.dataset.picture = seen ? "shown" : "none";
    this.#fill(found.status, head, seen ? this.#picture(found, model) : null, rest);
  }

  // Its picture is not needed any more.
  discard() {
    URL.revokeObjectURL(this.url);
  }

  #fill(status, ...parts) {
    this.element.dataset.status = status;
    this.element.replaceChildren(...parts.filter(Boolean));
  }

  #fileName() {
    return h("p", { class: "file", text: this.file.name });
  }

  #picture(found, model) {
    const alt = () => t("picture.alt", { name: this.file.name });
    const image = h("img", { src: found.preview ?? this.url, alt });
    const missing = h("p", { class: "missing", hidden: true, text: () => t("picture.missing") });
    const layers = h("div", { class: "layers" }, image, missing);
    image.addEventListener("error", () => {
      image.hidden = true;
      missing.hidden = false;
    });
    const figure = h("figure", {}, layers);
    figure.append(...heatMap(found, model, layers, this.id));
    return figure;
  }
}

function heatMap(found, model, layers, id) {
  const label = () => className(likeliest(found) ?? "");
  if (!model.heatmap) return [h("figcaption", { text: () => t("heat.none") })];
  if (found.status === "reject") return [];
  if (!found.heatmap) return [h("figcaption", { text: () => t("heat.empty", { label: label() }) })];
  const layer = h("img", { class: "evidence", src: found.heatmap, alt: "" });
  const slider = h("input", { id: `${id}-heat`, type: "range", min: "0", max: "100", value: "60" });
  const show = () => (layer.style.opacity = slider.value / 100);
  slider.addEventListener("input", show);
  show();
  layers.append(layer);
  return [
    h("div", { class: "slider" }, h("label", { for: slider.id, text: () => t("heat.slider") }), slider),
    h("figcaption", { text: () => t("heat.caption", { label: label() }) }),
  ];
}

function likeliest(found) {
  const names = Object.keys(found.probabilities);
  return names.reduce((a, b) => (found.probabilities[b] > found.probabilities[a] ? b : a), names[0]);
}

function adviceOn(found) {
  if (found.status !== "reject" || !found.quality.issues?.length) return null;
  const words = () => sentences(...faults(found).map(({ advice }) => advice));
  return h("p", { class: "lede", text: words });
}

function bars(found, model) {
  const shown = Object.entries(found.probabilities);
  if (!shown.length) return null;
  if (!model.multilabel) shown.sort((a, b) => b[1] - a[1]);
  const point = model.operating_point;
  const thresholds = new Map(model.classes.map((name, k) => [name, point.thresholds?.[k] ?? 0.5]));
  const rows = shown.map(([name, share]) =>
    bar(name, share, model.multilabel ? thresholds.get(name) : point.confidence),
  );
  const key = () =>
    model.multilabel
      ? t("bars.threshold")
      : t("bars.needed", { limit: limit(point.confidence) });
  return h(
    "section",
    { class: "block" },
    h(
      "table",
      { class: "bars" },
      h("caption", { text: () => t("bars.caption") }),
      h(
        "thead",
        { class: "unseen" },
        h(
          "tr",
          {},
          h("th", { scope: "col", text: () => t("bars.class") }),
          h("th", { scope: "col", text: () => t("bars.probability") }),
        ),
      ),
      h("tbody", {}, ...rows),
    ),
    h("p", { class: "key" }, h("span", { class: "mark" }), h("span", { text: key })),
    stillPossible(found, model),
  );
}

function bar(name, share, mark) {
  const fill = h("span", { class: "fill" });
  const marker = h("span", { class: "marker" });
  fill.style.inlineSize = `${100 * share}%`;
  marker.style.insetInlineStart = `${100 * mark}%`;
  return h(
    "tr",
    {},
    h("th", { scope: "row", text: () => className(name) }),
    h(
      "td",
      {},
      h("span", { class: "share", text: () => percent(share) }),
      h("span", { class: "track", "aria-hidden": "true" }, fill, marker),
    ),
  );
}

function stillPossible(found, model) {
  if (!model.conformal || model.multilabel) return null;
  const words = () => {
    const coverage = number(100 * model.conformal.coverage, 1) + "%";
    return found.set.length
      ? t("bars.set", { coverage, classes: list(found.set.map(className)) })
      : t("bars.set_none", { coverage });
  };
  return h("p", { class: "note", text: words });
}

function quality(found) {
  const issues = found.quality.issues ?? [];
  // What led to a rejection is said above.
  if (found.code === "unreadable" || issues.includes(found.code)) return null;
  const good = issues.length === 0;
  const words = () =>
    good
      ? t("quality.good")
      : sentences(...faults(found).map(({ fault, advice }) => t("quality.fault", { fault, advice })));
  return h(
    "section",
    { class: "block quality" },
    h("h4", { text: () => t("quality.heading") }),
    h("p", { class: good ? "good" : "wrong", text: words }),
  );
}

function record(found, model, name) {
  const now = new Date();
  const rows = [
    ["record.file", name],
    ["record.time", () => time(now)],
    ["record.case", found.case ?? (() => t("record.no_case"))],
    ["record.model", () => `${model.name}, ${t("record.version", { version: model.version })}`],
    found.ood_score !== null && model.ood
      ? ["record.distance", () => distance(found.ood_score, model.ood.threshold)]
      : null,
    ["record.image_hash", found.image_sha256],
    ["record.model_hash", found.model.sha256],
    found.status === "reject" ? ["record.technical", found.reason] : null,
  ].filter(Boolean);
  const list = h("dl", { class: "facts" });
  for (const [key, value] of rows)
    list.append(h("dt", { text: () => t(key) }), h("dd", { text: value }));
  return h("details", { class: "record" }, h("summary", { text: () => t("record.heading") }), list);
}

function distance(score, most) {
  return t("record.distance_of", { distance: number(score), limit: number(most) });
}

