// A clinician's own reading of a case, stored beside it.

import { postJson } from "./api.js";
import { h } from "./dom.js";
import { bind, className, sentences, t } from "./texts.js";

const OWN_WORDS = { other: "feedback.other", "cannot tell": "feedback.unsure" };

export function feedbackForm(caseId, classes, id) {
  const select = h(
    "select",
    { id: `${id}-reading`, autocomplete: "off", "aria-describedby": `${id}-said` },
    h("option", { value: "", text: () => t("feedback.select") }),
    ...classes.map((name) => h("option", { value: name, text: () => className(name) })),
    ...Object.entries(OWN_WORDS)
      .filter(([word]) => !classes.includes(word))
      .map(([word, key]) => h("option", { value: word, text: () => t(key) })),
  );
  const comment = h("textarea", {
    id: `${id}-comment`,
    autocomplete: "off",
    rows: "2",
    maxlength: "10000",
    "aria-describedby": `${id}-hint`,
  });
  const said = h("p", { id: `${id}-said`, role: "status" });
  let words = () => "";
  bind(said, () => (said.textContent = words()));
  const say = (kind, sentence) => {
    said.className = kind;
    words = sentence;
    said.textContent = words();
  };
  const form = h(
    "form",
    { autocomplete: "off" },
    h("label", { for: select.id, text: () => t("feedback.reading") }),
    select,
    h("label", { for: comment.id, text: () => t("feedback.comment") }),
    comment,
    h("p", { id: `${id}-hint`, class: "note", text: () => t("feedback.comment_hint") }),
    h("button", { class: "primary", text: () => t("feedback.send") }),
    said,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!select.value) return say("wrong", () => t("feedback.missing"));
    const reading = select.value;
    try {
      await postJson(`/v1/cases/${encodeURIComponent(caseId)}/feedback`, {
        reading,
        comment: comment.value.trim(),
      });
      const own = classes.includes(reading) ? undefined : OWN_WORDS[reading];
      say("good", () =>
        t("feedback.saved", { reading: own ? t(own) : className(reading) }),
      );
      form.reset();
    } catch (trouble) {
      say("wrong", () => sentences(t(`trouble.${trouble.kind}`), t(`trouble.${trouble.kind}.next`, { size: "" })));
    }
  });
  return h("details", { class: "feedback" }, h("summary", { text: () => t("feedback.heading") }), form);
}
