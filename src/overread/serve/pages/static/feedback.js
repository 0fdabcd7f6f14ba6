// A clinician's own reading of a case, stored beside it.

import { postJson } from "./api.js";
import { h } from "./dom.js";
import { bind, className, list, sentences, t } from "./texts.js";

const OWN_WORDS = { other: "feedback.other", "cannot tell": "feedback.unsure" };
const OWN_WORDS_MANY = { none: "feedback.none", ...OWN_WORDS };

export function feedbackForm(caseId, { classes, multilabel }, id) {
  const said = h("p", { id: `${id}-said`, role: "status" });
  const own = multilabel ? OWN_WORDS_MANY : OWN_WORDS;
  const nameOf = (word) => (classes.includes(word) ? className(word) : t(own[word]));
  const words = [...new Set([...classes, ...Object.keys(own)])];
  const choice = (multilabel ? several : one)(words, nameOf, { id, said: said.id, classes });
  const comment = h("textarea", {
    id: `${id}-comment`,
    autocomplete: "off",
    rows: "2",
    maxlength: "10000",
    "aria-describedby": `${id}-hint`,
  });
  let told = () => "";
  bind(said, () => (said.textContent = told()));
  const say = (kind, sentence) => {
    said.className = kind;
    told = sentence;
    said.textContent = told();
  };
  const form = h(
    "form",
    { autocomplete: "off" },
    ...choice.elements,
    h("label", { for: comment.id, text: () => t("feedback.comment") }),
    comment,
    h("p", { id: `${id}-hint`, class: "note", text: () => t("feedback.comment_hint") }),
    h("button", { class: "primary", text: () => t("feedback.send") }),
    said,
  );
  form.addEventListener("input", () => say("", () => ""));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = choice.chosen();
    if (!chosen.length) return say("wrong", () => t("feedback.missing"));
    try {
      await postJson(`/v1/cases/${encodeURIComponent(caseId)}/feedback`, {
        reading: chosen.join("|"),
        comment: comment.value.trim(),
      });
      say("good", () => t("feedback.saved", { reading: list(chosen.map(nameOf)) }));
      form.reset();
    } catch (trouble) {
      const why = trouble.kind === "no_log" ? "feedback.no_log" : `trouble.${trouble.kind}`;
      say("wrong", () => sentences(t("feedback.not_saved"), t(why), t("feedback.again")));
    }
  });
  return h("details", { class: "feedback" }, h("summary", { text: () => t("feedback.heading") }), form);
}

// One word of all.
function one(words, nameOf, { id, said }) {
  const options = words.map((word) => h("option", { value: word, text: () => nameOf(word) }));
  const select = h(
    "select",
    { id: `${id}-reading`, autocomplete: "off", "aria-describedby": said },
    h("option", { value: "", text: () => t("feedback.select") }),
    ...options,
  );
  const label = h("label", { for: select.id, text: () => t("feedback.reading") });
  return { elements: [label, select], chosen: () => (select.value ? [select.value] : []) };
}

// As many classes as are seen, or one word that stands for itself.
function several(words, nameOf, { id, said, classes }) {
  const boxes = words.map((word, at) =>
    h("input", { type: "checkbox", id: `${id}-reading-${at}`, value: word, autocomplete: "off" }),
  );
  const alone = (box) => !classes.includes(box.value);
  for (const box of boxes)
    box.addEventListener("change", () => {
      if (!box.checked) return;
      for (const other of boxes)
        if (other !== box && (alone(box) || alone(other))) other.checked = false;
    });
  const rows = boxes.map((box) =>
    h("label", { class: "tick", for: box.id }, box, h("span", { text: () => nameOf(box.value) })),
  );
  const legend = h("legend", { text: () => t("feedback.reading") });
  const group = h("fieldset", { class: "ticks", "aria-describedby": said }, legend, ...rows);
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  return { elements: [group], chosen };
}
