// The words of the page: one catalogue a language, chosen by the person, remembered by the browser.
// Every text is bound to its place, so that a switch of language changes words and nothing else.

export const LANGUAGES = { en: "en", zh: "zh-CN" };
const KEPT = "overread.language";
const catalogues = {};
let bound = [];
let language = "en";

export async function loadTexts() {
  const names = Object.keys(LANGUAGES);
  const files = await Promise.all(names.map((name) => fetch(`/static/texts/${name}.json`)));
  for (const [at, name] of names.entries()) catalogues[name] = await files[at].json();
  setLanguage(remembered() ?? preferred(), { keep: false });
}

export function currentLanguage() {
  return language;
}

export function setLanguage(name, { keep = true } = {}) {
  language = name;
  document.documentElement.lang = LANGUAGES[name];
  if (keep) remember(name);
  for (const { fill } of bound) fill();
}

// Do `fill` now and at every change of language. `owner`: the element that the text belongs to.
export function bind(owner, fill) {
  bound.push({ owner, fill });
  fill();
}

// Forget the texts inside `root`, which is taken off the page.
export function release(root) {
  bound = bound.filter(({ owner }) => !root.contains(owner));
}

export function t(key, values = {}) {
  const template = catalogues[language][key];
  if (template === undefined) throw new Error(`no text '${key}'`);
  return template.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

// A class as people of the chosen language call it, with the name that the data gave it.
export function className(name) {
  const shown = name.replaceAll("_", " ");
  const key = `class.${shown.toLowerCase()}`;
  const known = catalogues[language][key];
  if (known === undefined || known.toLowerCase() === shown.toLowerCase()) return shown;
  return language === "zh" ? `${known}（${shown}）` : `${known} (${shown})`;
}

export function list(names) {
  return names.join(t("list.comma"));
}

export function sentences(...parts) {
  return parts.filter(Boolean).join(language === "zh" ? "" : " ");
}

// What the model's images are, with the article where a language has one.
export function subject(model, { article = false } = {}) {
  const words = model.subject?.[language] ?? model.subject?.en ?? "";
  if (!article || language !== "en" || !words) return words;
  return `${/^[aeiou]/i.test(words) ? "an" : "a"} ${words}`;
}

// A probability, cut off and not rounded: 0.9996 must not read as certainty.
export function percent(share) {
  if (share > 0 && share < 0.001) return "<0.1%";
  const cut = Math.floor(share * 1000 + 1e-9) / 10;
  return share < 1 && cut >= 99.9 ? ">99.9%" : `${cut.toFixed(1)}%`;
}

// A limit, rounded up, so that what is shown above it has passed it.
export function limit(share) {
  return `${(Math.ceil(share * 1000 - 1e-9) / 10).toFixed(1)}%`;
}

export function number(value, digits = 2) {
  return value.toLocaleString(LANGUAGES[language], { maximumFractionDigits: digits });
}

export function time(date) {
  return date.toLocaleString(LANGUAGES[language], { dateStyle: "medium", timeStyle: "short" });
}

export function megabytes(bytes) {
  return t("unit.mb", { value: Math.floor(bytes / 2 ** 20) });
}

function preferred() {
  return (navigator.language ?? "").toLowerCase().startsWith("zh") ? "zh" : "en";
}

function remembered() {
  try {
    const name = localStorage.getItem(KEPT);
    return name in LANGUAGES ? name : undefined;
  } catch {
    return undefined;
  }
}

function remember(name) {
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // A browser that keeps nothing: the choice holds until the page is left.
  }
}
