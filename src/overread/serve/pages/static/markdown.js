// The little Markdown that model cards are written in: headings, lists, quotes, bold and code.

import { h } from "./dom.js";

const BLOCKS = [
  [/^(#{1,4}) (.*)$/, (match) => h(`h${Math.min(6, match[1].length + 2)}`, {}, ...inline(match[2]))],
  [/^> ?(.*)$/, (match) => h("blockquote", {}, ...inline(match[1]))],
  [/^[-*] (.*)$/, (match) => h("li", {}, ...inline(match[1]))],
  [/^(.*)$/, (match) => h("p", {}, ...inline(match[1]))],
];

export function markdown(text) {
  const parts = [];
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const block = blockOf(line);
    if (block.tagName !== "LI") parts.push(block);
    else if (parts.at(-1)?.tagName === "UL") parts.at(-1).append(block);
    else parts.push(h("ul", {}, block));
  }
  return parts;
}

function blockOf(line) {
  for (const [pattern, make] of BLOCKS) {
    const match = pattern.exec(line);
    if (match) return make(match);
  }
  throw new Error("the last pattern takes every line");
}

function inline(text) {
  return text
    .split(/(\*\*.+?\*\*|`[^`]+`)/)
    .filter(Boolean)
    .map((piece) => {
      if (piece.startsWith("**")) return h("strong", { text: plain(piece.slice(2, -2)) });
      if (piece.startsWith("`")) return h("code", { text: piece.slice(1, -1) });
      return plain(piece);
    });
}

const plain = (text) => text.replace(/\\(.)/g, "$1");
