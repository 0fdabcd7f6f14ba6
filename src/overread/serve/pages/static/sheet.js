// A4 pages on canvases, in points from the top left, with the browser's own fonts: any language.

const [WIDTH, HEIGHT] = [595.28, 841.89];
const MARGIN = 45;
const TOP = 66;
const BOTTOM = HEIGHT - 62;
const DPI = 180;
const SCALE = DPI / 72;
const QUALITY = 0.88;
const LEADING = 1.42;
// A line may break after these pieces: a word, or a Chinese character with the marks that belong to it.
const PIECES =
  /\s+|[（“《]*(?:\p{Script=Han}|[^\s\p{Script=Han}（“《，。、；：？！）”》]+)[，。、；：？！）”》]*|[（“《，。、；：？！）”》]/gu;

// The lines of `text` that are at most `width` wide; what has no place to break is cut.
export function lines(text, width, measure) {
  const found = [];
  let line = "";
  for (let piece of text.match(PIECES) ?? []) {
    if (measure((line + piece).trimEnd()) > width) {
      if (line) found.push(line.trimEnd());
      line = "";
      piece = piece.trimStart();
      while (measure(piece) > width) {
        let most = piece.length - 1;
        while (most > 1 && measure(piece.slice(0, most)) > width) most -= 1;
        found.push(piece.slice(0, most));
        piece = piece.slice(most);
      }
    }
    line += piece;
  }
  return line.trim() ? [...found, line.trimEnd()] : found;
}

export class Sheet {
  #family = getComputedStyle(document.body).fontFamily;
  pages = [];
  left = MARGIN;
  width = WIDTH - 2 * MARGIN;

  constructor() {
    this.turn();
  }

  // A new page, after which `y` is at its top.
  turn() {
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(WIDTH * SCALE);
    canvas.height = Math.round(HEIGHT * SCALE);
    canvas.lang = document.documentElement.lang;
    this.pages.push({ canvas, pen: canvas.getContext("2d", { alpha: false }), words: [] });
    this.pen.fillStyle = "#fff";
    this.pen.fillRect(0, 0, canvas.width, canvas.height);
    this.pen.scale(SCALE, SCALE);
    this.y = TOP;
  }

  get pen() {
    return this.pages.at(-1).pen;
  }

  // A new page unless `height` still fits on this one.
  room(height) {
    if (this.y + height > BOTTOM && this.y > TOP) this.turn();
  }

  box(x, y, width, height, colour, round = 0) {
    this.pen.fillStyle = colour;
    this.pen.beginPath();
    this.pen.roundRect(x, y, width, height, round);
    this.pen.fill();
  }

  widthOf(text, size = 10, bold = false) {
    this.pen.font = `${bold ? 650 : 400} ${size}px ${this.#family}`;
    return this.pen.measureText(text).width;
  }

  // One line at its place, its base line at `y`; how wide it is.
  line(text, x, y, { size = 10, bold = false, colour = "#1b2326", right = false } = {}) {
    const width = this.widthOf(text, size, bold);
    const from = right ? x - width : x;
    this.pen.fillStyle = colour;
    this.pen.fillText(text, from, y);
    if (text) this.pages.at(-1).words.push({ text, x: from, y, size, width });
    return width;
  }

  // Text from `y` on, broken into lines and over pages; `y` is under it then.
  text(text, { size = 10, bold = false, x = this.left, width = this.width, gap = 5, ...look } = {}) {
    if (!text) return;
    const height = size * LEADING;
    for (const line of lines(text, width, (part) => this.widthOf(part, size, bold))) {
      this.room(height);
      this.line(line, x, this.y + size * 1.07, { size, bold, ...look });
      this.y += height;
    }
    this.y += gap;
  }

  // Something written on every page, like its head and foot: `write(number, count)`.
  everyPage(write) {
    const all = this.pages;
    for (const [at, page] of all.entries()) {
      this.pages = [page];
      write(at + 1, all.length);
    }
    this.pages = all;
  }

  // The pages as JPEGs with their words. Nothing can be written any more: a phone has little memory.
  async finish() {
    const done = [];
    for (const { canvas, words } of this.pages.splice(0)) {
      const { width, height } = canvas;
      const jpeg = await new Promise((give) => canvas.toBlob(give, "image/jpeg", QUALITY));
      done.push({ jpeg: new Uint8Array(await jpeg.arrayBuffer()), width, height, words });
      canvas.width = canvas.height = 0;
    }
    return done;
  }
}

export const PAGE = { width: WIDTH, height: HEIGHT, margin: MARGIN };
