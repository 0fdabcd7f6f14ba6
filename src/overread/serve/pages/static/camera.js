// A camera view with a shutter. Where the browser gives no camera to the page (no https), the
// phone's own camera is opened through a file field.

import { h } from "./dom.js";
import { release, t } from "./texts.js";

const WISHES = {
  video: { facingMode: { ideal: "environment" }, width: { ideal: 2560 }, height: { ideal: 1920 } },
  audio: false,
};

export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

// A photograph as a File, or null when the person closes the view. Throws when there is no camera.
export async function takePhoto() {
  const stream = await navigator.mediaDevices.getUserMedia(WISHES);
  try {
    return await show(stream);
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}

function show(stream) {
  return new Promise((resolve) => {
    const video = h("video", {
      autoplay: true,
      playsinline: true,
      "aria-label": () => t("camera.view"),
    });
    video.muted = true;
    video.srcObject = stream;
    const shutter = h("button", {
      class: "shutter",
      disabled: true,
      "aria-label": () => t("camera.shutter"),
      title: () => t("camera.shutter"),
      on: { click: async () => finish(await photograph(video)) },
    });
    video.addEventListener("playing", () => {
      shutter.disabled = false;
      shutter.focus();
    });
    const dialog = h(
      "dialog",
      { class: "camera", "aria-labelledby": "camera-heading" },
      h("h2", { id: "camera-heading", text: () => t("camera.heading") }),
      video,
      h("p", { text: () => t("camera.tip") }),
      h(
        "div",
        { class: "row" },
        shutter,
        h("button", { text: () => t("app.close"), on: { click: () => dialog.close() } }),
      ),
    );
    let photo = null;
    const finish = (file) => {
      photo = file;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      release(dialog);
      dialog.remove();
      resolve(photo);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

async function photograph(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
  const stamp = new Date().toISOString().slice(0, 19).replace(/[T:]/g, "-");
  return new File([blob], `photo-${stamp}.jpg`, { type: "image/jpeg" });
}
