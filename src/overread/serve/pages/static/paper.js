// An answer on paper: the same words and figures as on the page, one image after another.

import { advice, nameOf, quality, record } from "./facts.js";
import { bars, BAD, LINE, mark, picture, PICTURE, SOFT, TONES } from "./figures.js";
import { limits, trained } from "./model.js";
import { pdf } from "./pdf.js";
import { PAGE, Sheet } from "./sheet.js";
import { currentLanguage, LANGUAGES, list, t, time } from "./texts.js";
import { headline, next, reason, reliability } from "./words.js";

const GUTTER = 24;

// The bytes of a PDF of these cards' answers.
export async function onPaper(cards) {
  const pages = [];
  // One after another, and not all at once: a page is as large as a photograph.
  for (const card of cards) pages.push(...(await draw(card).finish()));
  const names = cards.map((card) => card.answer.name).join(", ");
  return pdf(pages, { title: `overread: ${names}`, language: LANGUAGES[currentLanguage()], date: new Date() });
}

function draw(card) {
  const sheet = new Sheet();
  verdict(sheet, card.answer);
  middle(sheet, card);
  basis(sheet, card.answer);
  proof(sheet, card.answer);
  sheet.everyPage((number, count) => frame(sheet, card.answer, number, count));
  return sheet;
}

// Head and foot of a page: a page that is alone still says what it is.
function frame(sheet, { model, name, found, date }, number, count) {
  const right = sheet.left + sheet.width;
  const brand = sheet.line("overread", sheet.left, 42, { size: 12, bold: true });
  sheet.line(t("app.tagline"), sheet.left + brand + 6, 42, { size: 9.5, colour: SOFT });
  const short = name.length > 36 ? `${name.slice(0, 22)}…${name.slice(-12)}` : name;
  sheet.line(`${short}   ${time(date)}`, right, 42, { size: 9, colour: SOFT, right: true });
  sheet.box(sheet.left, 50, sheet.width, 0.75, LINE);
  const foot = PAGE.height - 50;
  sheet.box(sheet.left, foot, sheet.width, 0.75, LINE);
  sheet.line(t("app.notice"), sheet.left, foot + 15, { size: 9, bold: true });
  const made = list([nameOf(model), `SHA-256 ${found.model.sha256.slice(0, 16)}`]);
  sheet.line(made, sheet.left, foot + 28, { size: 8, colour: SOFT });
  sheet.line(t("paper.page", { number, count }), right, foot + 28, { size: 8, colour: SOFT, right: true });
}

// The answer in words, on a ground of its own colour.
function verdict(sheet, { found, model }) {
  const [tone] = TONES[found.status];
  mark(sheet, found.status);
  const head = { x: sheet.left + 34, width: sheet.width - 34 };
  sheet.y += 1;
  sheet.text(headline(found, model), { ...head, size: 19, bold: true, colour: tone, gap: 6 });
  sheet.text(reliability(found, model), { ...head, size: 11.5 });
  if (found.status === "answer" && model.leaky) {
    sheet.text(t("leaky.heading"), { ...head, bold: true, colour: BAD, gap: 0 });
    sheet.text(t("leaky.text"), { ...head, colour: BAD });
  }
  sheet.text(reason(found, model), head);
  sheet.text(advice(found), { ...head, size: 11.5 });
  sheet.text(next(found, model), { ...head, colour: SOFT });
  sheet.y += 10;
}

// The picture on the left, figures beside it; they may go on over a page.
function middle(sheet, card) {
  const { answer, layers } = card;
  const place = { x: sheet.left, width: sheet.width };
  if (layers) sheet.room(PICTURE.height + 85);
  const [from, page] = [sheet.y, sheet.pages.length];
  if (layers) {
    picture(sheet, answer, layers);
    place.x += PICTURE.width + GUTTER;
    place.width -= PICTURE.width + GUTTER;
  }
  const under = sheet.y;
  sheet.y = from;
  bars(sheet, answer, place);
  const checked = quality(answer.found);
  if (checked) {
    sheet.text(t("quality.heading"), { ...place, bold: true, gap: 1 });
    sheet.text(checked.words, { ...place, colour: checked.good ? TONES.answer[0] : BAD });
  }
  if (sheet.pages.length === page) sheet.y = Math.max(sheet.y, under);
  sheet.y += 8;
}

function basis(sheet, { model }) {
  title(sheet, t("basis.heading"));
  for (const sentence of [...trained(model), ...limits(model)]) sheet.text(sentence, { size: 9.5, gap: 2 });
  sheet.y += 6;
}

function proof(sheet, answer) {
  title(sheet, t("record.heading"));
  const rows = record(answer);
  const size = 8.5;
  const wide = 12 + Math.max(...rows.map(([name]) => sheet.widthOf(name, size)));
  for (const [name, value] of rows) {
    sheet.room(14);
    sheet.line(name, sheet.left, sheet.y + size * 1.07, { size, colour: SOFT });
    sheet.text(value, { x: sheet.left + wide, width: sheet.width - wide, size, gap: 1.5 });
  }
}

function title(sheet, words) {
  sheet.room(48);
  sheet.box(sheet.left, sheet.y, sheet.width, 0.75, LINE);
  sheet.y += 8;
  sheet.text(words, { size: 11, bold: true, gap: 3 });
}
