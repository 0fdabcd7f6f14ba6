// What is drawn on paper beside the words: the sign of the answer, the picture, the bars.

import { ICONS } from "./dom.js";
import { evidence, meaningOfMark, shares, stillPossible } from "./facts.js";
import { className, percent, t } from "./texts.js";

// The colours of the page in light; those of an answer: for what it says, and the ground of its sign.
export const TONES = {
  answer: ["#0b6b66", "#e6f1ef"],
  refer: ["#8a5400", "#fbf3e1"],
  reject: ["#4a565c", "#eef1f2"],
};
export const [SOFT, LINE, BAD] = ["#55636a", "#d9dedc", "#a2231d"];
const [INK, EDGE, SUNK] = ["#1b2326", "#8a9699", "#f0f3f1"];
// The most room that the picture takes.
export const PICTURE = { width: 232, height: 250 };

export function mark({ pen, left, y }, status) {
  const [tone, tint] = TONES[status];
  pen.save();
  pen.fillStyle = tint;
  pen.beginPath();
  pen.arc(left + 13, y + 14, 13, 0, 2 * Math.PI);
  pen.fill();
  pen.translate(left + 4, y + 5);
  pen.scale(0.75, 0.75);
  Object.assign(pen, { strokeStyle: tone, lineWidth: 2.4, lineCap: "round", lineJoin: "round" });
  for (const path of ICONS[status]) pen.stroke(new Path2D(path));
  pen.restore();
}

// The picture with the heat map on it as it is seen on the page, and what that means.
export function picture(sheet, { found, model }, { image, heat, strength }) {
  const { naturalWidth, naturalHeight } = image;
  const scale = Math.min(PICTURE.width / naturalWidth, PICTURE.height / naturalHeight);
  const box = [sheet.left, sheet.y, naturalWidth * scale, naturalHeight * scale];
  sheet.pen.drawImage(image, ...box);
  sheet.pen.globalAlpha = strength;
  if (heat?.naturalWidth) sheet.pen.drawImage(heat, ...box);
  sheet.pen.globalAlpha = 1;
  sheet.y += box[3] + 6;
  const look = { width: PICTURE.width, size: 8.5, colour: SOFT, gap: 0 };
  if (strength) sheet.text(t("paper.heat", { strength: `${Math.round(100 * strength)}%` }), look);
  sheet.text(evidence(found, model), look);
}

// The probabilities, each with its mark.
export function bars(sheet, { found, model }, { x, width }) {
  const rows = shares(found, model);
  if (!rows.length) return;
  const [tone] = TONES[found.status];
  sheet.text(t("bars.caption"), { x, width, bold: true, gap: 3 });
  for (const { name, share, mark, chosen: bold } of rows) {
    sheet.room(27);
    sheet.line(percent(share), x + width, sheet.y + 10, { bold, right: true });
    sheet.text(className(name), { x, width: width - 45, bold, gap: 1 });
    sheet.box(x, sheet.y, width, 6, SUNK, 3);
    sheet.box(x, sheet.y, Math.max(2, width * share), 6, bold || !model.multilabel ? tone : EDGE, 3);
    sheet.box(x + width * mark - 0.75, sheet.y - 2.5, 1.5, 11, INK);
    sheet.y += 11;
  }
  sheet.y += 2;
  sheet.box(x, sheet.y + 1, 1.5, 10, INK);
  sheet.text(meaningOfMark(model), { x: x + 7, width: width - 7, size: 9, colour: SOFT, gap: 2 });
  sheet.text(stillPossible(found, model), { x, width, size: 9, colour: SOFT });
  sheet.y += 4;
}
