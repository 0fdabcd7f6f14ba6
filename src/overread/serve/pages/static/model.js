// What the page says of the model itself.

import { h } from "./dom.js";
import { className, list, number, subject, t } from "./texts.js";

export function scope(model) {
  const words = { subject: subject(model, { article: true }), classes: list(model.classes.map(className)) };
  const key = model.multilabel ? "finds" : "reads";
  return words.subject ? t(`intake.${key}`, words) : t(`intake.${key}_any`, words);
}

export function leakyBanner(model) {
  if (!model.leaky) return null;
  return h(
    "div",
    { class: "banner", role: "note" },
    h("strong", { text: () => t("leaky.heading") }),
    h("p", { text: () => t("leaky.text") }),
  );
}

// What it was trained and tested on, as sentences.
export function trained(model) {
  const { images, groups, method } = model.data;
  const n = model.results.accuracy?.n;
  const parts = [
    groups
      ? t("basis.data", { images: number(images), groups: number(groups) })
      : t("basis.data_images", { images: number(images) }),
  ];
  if (n) parts.push(t("basis.apart", { n: number(n) }));
  if (model.leaky) parts.push(t("leaky.text"));
  else parts.push(method === "leak-proof" ? t("basis.clean") : t("basis.given"));
  return parts;
}

// The author's own limits first, then the one that always holds.
export const limits = (model) => [...model.limits, t("basis.limits")];
