// One image on the page: while it is sent, when it fails, and its answer.

import { h, icon } from "./dom.js";
import { feedbackForm } from "./feedback.js";
import { advice, evidence, meaningOfMark, quality, record, shares, stillPossible } from "./facts.js";
import { bind, className, megabytes, percent, t } from "./texts.js";
import { headline, next, reason, reliability } from "./words.js";

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
      trouble.detail && trouble.kind !== "no_log"
        ? h("p", { class: "note", text: () => t("trouble.detail", { detail: trouble.detail }) })
        : null,
      trouble.kind === "413" || trouble.kind === "415" ? null : button,
    ];
    this.#fill("trouble", ...parts);
  }

  showAnswer(found, model) {
    this.answer = { found, model, name: this.file.name, date: new Date() };
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
      found.status === "reject" ? h("p", { class: "lede advice", text: () => advice(found) }) : null,
      h("p", { class: "next", text: () => next(found, model) }),
    );
    const rest = h(
      "div",
      { class: "rest" },
      bars(found, model),
      picture(found),
      found.case && found.code !== "unreadable" ? feedbackForm(found.case, model, this.id) : null,
      recordOf(this.answer),
      h("p", { class: "note notice", text: () => t("app.notice") }),
    );
    const seen = found.code !== "unreadable";
    this.element.dataset.picture = seen ? "shown" : "none";
    this.#fill(found.status, head, seen ? this.#picture(found, model) : null, rest);
  }

  // The picture and the heat map on it, as they are seen now; null where none is shown.
  get layers() {
    const [image, heat] = this.element.querySelectorAll(".layers img");
    if (!image?.naturalWidth) return null;
    return { image, heat, strength: heat ? Number(heat.style.opacity) : 0 };
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
  const caption = h("figcaption", { text: () => evidence(found, model) });
  if (!found.heatmap || found.status === "reject") return evidence(found, model) ? [caption] : [];
  const layer = h("img", { class: "evidence", src: found.heatmap, alt: "" });
  const slider = h("input", { id: `${id}-heat`, type: "range", min: "0", max: "100", value: "60" });
  const show = () => (layer.style.opacity = slider.value / 100);
  slider.addEventListener("input", show);
  show();
  layers.append(layer);
  const name = h("label", { for: slider.id, text: () => t("heat.slider") });
  return [h("div", { class: "slider" }, name, slider), caption];
}

function bars(found, model) {
  const rows = shares(found, model);
  if (!rows.length) return null;
  const titles = ["bars.class", "bars.probability"].map((key) =>
    h("th", { scope: "col", text: () => t(key) }),
  );
  const possible = stillPossible(found, model);
  return h(
    "section",
    { class: "block" },
    h(
      "table",
      { class: model.multilabel ? "bars many" : "bars" },
      h("caption", { text: () => t("bars.caption") }),
      h("thead", { class: "unseen" }, h("tr", {}, ...titles)),
      h("tbody", {}, ...rows.map(bar)),
    ),
    h("p", { class: "key" }, h("span", { class: "mark" }), h("span", { text: () => meaningOfMark(model) })),
    possible ? h("p", { class: "note", text: () => stillPossible(found, model) }) : null,
  );
}

function bar({ name, share, mark, chosen }) {
  const fill = h("span", { class: "fill" });
  const marker = h("span", { class: "marker" });
  fill.style.inlineSize = `${100 * share}%`;
  marker.style.insetInlineStart = `${100 * mark}%`;
  return h(
    "tr",
    { class: chosen ? "chosen" : null },
    h("th", { scope: "row", text: () => className(name) }),
    h(
      "td",
      {},
      h("span", { class: "share", text: () => percent(share) }),
      h("span", { class: "track", "aria-hidden": "true" }, fill, marker),
    ),
  );
}

function picture(found) {
  const told = quality(found);
  if (!told) return null;
  return h(
    "section",
    { class: "block quality" },
    h("h4", { text: () => t("quality.heading") }),
    h("p", { class: told.good ? "good" : "wrong", text: () => quality(found).words }),
  );
}

function recordOf(answer) {
  const facts = h("dl", { class: "facts" });
  for (const at of record(answer).keys())
    facts.append(
      h("dt", { text: () => record(answer)[at][0] }),
      h("dd", { text: () => record(answer)[at][1] }),
    );
  return h("details", { class: "record" }, h("summary", { text: () => t("record.heading") }), facts);
}
