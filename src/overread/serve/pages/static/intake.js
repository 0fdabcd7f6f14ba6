// How images get in: chosen, photographed, dropped or pasted.

import { hasCamera, takePhoto } from "./camera.js";
import { find } from "./dom.js";

// `take(files)` hears every set of files; `complain(trouble)` a camera that does not open.
export function openIntake(take, complain) {
  const choose = find("#choose");
  const shoot = find("#shoot");
  for (const input of [choose, shoot])
    input.addEventListener("change", () => {
      give(take, input.files);
      input.value = "";
    });
  find("#choose-button").addEventListener("click", () => choose.click());
  find("#camera-button").addEventListener("click", async () => {
    if (!hasCamera()) return shoot.click();
    try {
      const photo = await takePhoto();
      if (photo) take([photo]);
    } catch {
      complain();
    }
  });
  document.addEventListener("paste", (event) => give(take, event.clipboardData?.files));
  acceptDrops(take);
}

function acceptDrops(take) {
  const zone = find("#intake");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle("over", depth > 0);
  };
  document.addEventListener("dragenter", (event) => holdsFiles(event) && mark(1));
  document.addEventListener("dragleave", (event) => holdsFiles(event) && mark(-1));
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    give(take, event.dataTransfer.files);
  });
}

function give(take, files) {
  if (files?.length) take([...files]);
}
