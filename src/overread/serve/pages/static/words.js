// A prediction in words. Everything said comes from its code and values and the model's own test.

import { shares } from "./facts.js";
import { className, limit, list, number, percent, sentences, subject, t } from "./texts.js";

// Fewer test cases than this give no share worth a sentence of its own.
export const FEW = 30;
// 100 * 0.97 is a little more than 97.
const TINY = 1e-9;
const QUALITY = ["too_small", "blank", "blurred", "too_dark", "too_bright"];

export function headline(found, model) {
  if (found.status === "refer") return t("headline.refer");
  if (found.status === "answer") {
    if (!model.multilabel) return t("headline.answer", { label: className(found.predicted) });
    if (!found.predicted) return t("headline.nothing");
    return t("headline.found", { label: labels(found.predicted, model) });
  }
  if (found.code === "ood") {
    const what = subject(model, { article: true });
    return what ? t("headline.ood", { subject: what }) : t("headline.ood_any");
  }
  if (QUALITY.includes(found.code)) return t("headline.poor");
  return found.code === "not_finite" ? t("headline.not_finite") : t("headline.unreadable");
}

export function reason(found, model) {
  const code = found.code;
  const values = {
    probability: found.probability === null ? "" : spoken(found.probability),
    label: found.predicted === null ? "" : labels(found.predicted, model),
    limit: limit(found.values.limit ?? 0),
  };
  if (code === "several") values.classes = possible(found, model);
  if (code === "ood")
    Object.assign(values, {
      distance: found.values.distance === null ? "∞" : number(found.values.distance),
      limit: number(found.values.limit),
    });
  if (QUALITY.includes(code)) Object.assign(values, measures(found));
  const many = model.multilabel && found.status !== "reject";
  if (many) values.finding = className(weakest(found, model));
  return many ? t(`reason_many.${code}`, values) : t(`reason.${code}`, values);
}

// The finding whose yes or no is the least certain.
function weakest(found, model) {
  const certainty = ({ share, chosen }) => (chosen ? share : 1 - share);
  return shares(found, model).reduce((a, b) => (certainty(b) < certainty(a) ? b : a)).name;
}

// What to do about it; "" where the reason says it all.
export function next(found, model) {
  if (found.status === "refer") {
    const never = found.code === "several" ? neverRuledOut(model) : [];
    const why = never.length ? t("next.never", { classes: list(never.map(className)) }) : "";
    return sentences(why, t("next.refer"));
  }
  if (found.status === "answer") return t("next.not_sure_it_is_right");
  return found.code === "ood" ? t("next.ood") : "";
}

// How often such answers were right in the model's test: its own figures and no others.
export function reliability(found, model) {
  if (found.status !== "answer") return "";
  const results = model.results;
  const own = model.multilabel ? undefined : results[`answered.precision.${found.predicted}`];
  if (own?.n >= FEW) return figure("right.such", own);
  if (own?.n) return t("right.such_few", { ...counted(own), right: Math.round(own.value * own.n) });
  const called = model.multilabel ? undefined : results[`precision.${found.predicted}`];
  if (called?.n) return figure("right.called", called, { label: className(found.predicted) });
  if (results["answered.accuracy"]?.n) return figure("right.answered", results["answered.accuracy"]);
  const whole = results.accuracy;
  if (!whole?.ci95) return t("right.unknown");
  return whole.n ? figure("right.all", whole) : t("right.all_plain", counted(whole));
}

export function labels(label, model) {
  if (!model.multilabel) return className(label);
  return label ? list(label.split("|").map(className)) : t("headline.nothing");
}

function figure(key, estimate, values = {}) {
  return t(key, { ...counted(estimate), ...values });
}

// Shares as cases in a hundred; the interval is never made narrower by rounding.
function counted({ value, ci95, n }) {
  const rounded = value < 1 ? Math.min(99, Math.round(100 * value)) : 100;
  const [low, high] = [Math.floor(100 * ci95[0] + TINY), Math.ceil(100 * ci95[1] - TINY)];
  return { value: rounded, low, high, n };
}

// Classes that are in the set of every image: a quantile of 1 says that there were too few to tell.
export function neverRuledOut({ conformal, classes, multilabel }) {
  if (!conformal || multilabel) return [];
  return classes.filter((_, k) => conformal.quantiles[k] >= 1);
}

function spoken(share) {
  const shown = percent(share);
  return shown.startsWith(">") ? t("unit.above", { value: shown.slice(1) }) : shown;
}

function possible(found, model) {
  // Findings that are open, as the model's file names them.
  if (model.multilabel) return String(found.values.classes).replaceAll("_", " ");
  const names = [...new Set([found.predicted, ...found.set])];
  names.sort((a, b) => found.probabilities[b] - found.probabilities[a]);
  return list(names.map(className));
}

function measures({ quality, values, code }) {
  const share = code === "too_dark" || code === "too_bright";
  const digits = { too_small: 0, blank: 1 }[code] ?? 3;
  return {
    ...quality,
    contrast: number(quality.contrast, 1),
    sharpness: number(quality.sharpness, 3),
    dark: percent(quality.dark),
    bright: percent(quality.bright),
    limit: share ? percent(values.limit) : number(values.limit, digits),
  };
}
