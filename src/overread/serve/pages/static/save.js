// The results as a JSON file: what the server said, without the pictures.

export function saveJson(predictions) {
  const plain = predictions.map(({ heatmap, preview, ...rest }) => rest);
  const text = JSON.stringify({ schema_version: 1, predictions: plain }, null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `overread-${new Date().toISOString().slice(0, 10)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
