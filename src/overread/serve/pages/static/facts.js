// What stands beside the words of an answer: figures, the check of the picture, the record. The page
// and the PDF show the same.

import { className, limit, list, number, percent, sentences, t, time } from "./texts.js";

// The probabilities as they are listed, each with the mark that it is held against, and whether it is
// of what was found: the likeliest class, or each that reached its mark where there may be several.
export function shares(found, { multilabel, classes, operating_point: point }) {
  const labels = multilabel ? found.predicted?.split("|") : [found.predicted];
  const rows = Object.entries(found.probabilities).map(([name, share]) => ({
    name,
    share,
    mark: multilabel ? (point.thresholds?.[classes.indexOf(name)] ?? 0.5) : point.confidence,
    chosen: labels?.includes(name) ?? false,
  }));
  return multilabel ? rows : rows.sort((a, b) => b.share - a.share);
}

export function meaningOfMark(model) {
  if (model.multilabel) return t("bars.threshold");
  return t("bars.needed", { limit: limit(model.operating_point.confidence) });
}

export function stillPossible(found, { conformal, multilabel }) {
  if (!conformal || multilabel || !Object.keys(found.probabilities).length) return "";
  const coverage = `${number(100 * conformal.coverage, 1)}%`;
  if (!found.set.length) return t("bars.set_none", { coverage });
  const key = found.set.length > 1 ? "bars.set" : "bars.set_one";
  return t(key, { coverage, classes: list(found.set.map(className)) });
}

// The faults of the picture, each with its remedy; [] for a good one.
function faults(found) {
  return (found.quality.issues ?? []).map((code) => ({
    fault: t(`quality.${code}`),
    advice: t(`advice.${code}`),
  }));
}

// What to do for a better picture; "" where it was not rejected for its quality.
export function advice(found) {
  if (found.status !== "reject") return "";
  return sentences(...faults(found).map(({ advice }) => advice));
}

// The check of the picture; null where it was not made or the reason says it.
export function quality(found) {
  const issues = found.quality.issues ?? [];
  if (found.code === "unreadable" || issues.includes(found.code)) return null;
  const told = faults(found).map(({ fault, advice }) => t("quality.fault", { fault, advice }));
  return { good: !told.length, words: told.length ? sentences(...told) : t("quality.good") };
}

// What the heat map shows, or why there is none.
export function evidence(found, model) {
  if (!model.heatmap) return t("heat.none");
  if (found.status === "reject") return "";
  const names = Object.keys(found.probabilities);
  const label = className(
    names.reduce((a, b) => (found.probabilities[b] > found.probabilities[a] ? b : a)),
  );
  if (!found.heatmap) return t("heat.empty", { label });
  return t(found.predicted === "" ? "heat.unfound" : "heat.caption", { label });
}

// What proves later which image, model and case this was: pairs of a title and a text.
export function record({ found, model, name, date }) {
  const rows = [
    ["record.file", name],
    ["record.time", time(date)],
    ["record.case", found.case ?? t("record.no_case")],
    ["record.model", nameOf(model)],
    found.ood_score !== null && model.ood ? ["record.distance", distance(found, model)] : null,
    ["record.image_hash", found.image_sha256],
    ["record.model_hash", found.model.sha256],
    found.status === "reject" ? ["record.technical", found.reason] : null,
  ];
  return rows.filter(Boolean).map(([key, value]) => [t(key), value]);
}

export const nameOf = ({ name, version }) => t("record.model_of", { name, version });

function distance({ ood_score: score }, { ood }) {
  return t("record.distance_of", { distance: number(score), limit: number(ood.threshold) });
}
