// Results as a file that the browser makes by itself.

import { onPaper } from "./paper.js";

// What the server said, without the pictures.
export function saveJson(predictions) {
  const plain = predictions.map(({ heatmap, preview, ...rest }) => rest);
  const text = JSON.stringify({ schema_version: 1, predictions: plain }, null, 2);
  save(text, "application/json", "json");
}

// The answers as on paper, picture and heat map with them.
export async function savePdf(cards) {
  save(await onPaper(cards), "application/pdf", "pdf");
}

function save(data, type, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([data], { type }));
  link.download = `overread-${new Date().toISOString().slice(0, 10)}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
