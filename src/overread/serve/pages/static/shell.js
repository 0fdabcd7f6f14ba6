// What both pages share: the switch of language, and what is shown when the page cannot start.

import { Trouble } from "./api.js";
import { find, h } from "./dom.js";
import { bind, currentLanguage, sentences, setLanguage, t } from "./texts.js";

export function openSwitch() {
  bind(document.body, () => (document.title = t(document.body.dataset.title)));
  for (const input of document.querySelectorAll("#languages input")) {
    input.checked = input.value === currentLanguage();
    input.addEventListener("change", () => setLanguage(input.value));
  }
}

export function showFailure(error) {
  if (!(error instanceof Trouble)) console.error(error);
  const kind = error instanceof Trouble ? error.kind : "other";
  const place = find("#failure");
  place.hidden = false;
  place.replaceChildren(
    h("h2", { text: () => t("app.start_failed") }),
    h("p", { text: () => sentences(t(`trouble.${kind}`), t(`trouble.${kind}.next`, { size: "" })) }),
    h("button", {
      class: "primary",
      text: () => t("app.retry"),
      on: { click: () => location.reload() },
    }),
  );
}
