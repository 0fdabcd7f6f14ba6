// Elements made in code. Texts are always text: nothing is ever parsed as HTML.

import { bind, t } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

// h("p", { class: "note", text: () => t("key") }, child, ...). A function as value gives a text
// that follows the language; `on` holds listeners.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  const { on = {}, ...rest } = attributes;
  for (const [kind, listener] of Object.entries(on)) element.addEventListener(kind, listener);
  for (const [key, value] of Object.entries(rest)) set(element, key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function set(element, key, value) {
  if (typeof value === "function") bind(element, () => put(element, key, value()));
  else put(element, key, value);
}

function put(element, key, value) {
  if (key === "text") element.textContent = value;
  else if (value === true) element.setAttribute(key, "");
  else if (value === false || value === null || value === undefined) element.removeAttribute(key);
  else element.setAttribute(key, value);
}

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const ICONS = {
  answer: ["M5 12.5l4.5 4.5L19 7.5"],
  refer: ["M12 8a3.5 3.5 0 1 0 0-.01", "M5 20c.6-4 3.4-6 7-6s6.4 2 7 6", "M18 4v4", "M16 6h4"],
  reject: ["M7 7l10 10", "M17 7L7 17"],
  trouble: ["M12 7v6", "M12 16.5v.5"],
};

export function icon(name) {
  const paths = ICONS[name].map((d) => svg("path", { d }));
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, ...paths);
}

// Fill what the page's HTML names: data-t (text), data-t-label (aria-label).
export function fillPage(root = document) {
  for (const element of root.querySelectorAll("[data-t]"))
    bind(element, () => (element.textContent = t(element.dataset.t)));
  for (const element of root.querySelectorAll("[data-t-label]"))
    bind(element, () => element.setAttribute("aria-label", t(element.dataset.tLabel)));
}

export const find = (selector) => document.querySelector(selector);
