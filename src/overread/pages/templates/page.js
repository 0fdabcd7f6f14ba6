"use strict";
// Language: the reader's last choice, else the browser's. Without scripts the radio buttons alone do it.
(() => {
  const kept = {
    get() { try { return localStorage.getItem("overread-language"); } catch { return null; } },
    set(value) { try { localStorage.setItem("overread-language", value); } catch { /* file pages may forbid it */ } },
  };
  const apply = (language) => {
    document.getElementById("language-" + language).checked = true;
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  };
  const asked = new URLSearchParams(location.search).get("language") || kept.get() || navigator.language || "en";
  apply(asked.toLowerCase().startsWith("zh") ? "zh" : "en");
  for (const language of ["en", "zh"]) {
    document.getElementById("language-" + language).addEventListener("change", () => {
      apply(language);
      kept.set(language);
    });
  }
})();
// Tables marked data-sortable sort by the column whose head is pressed.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text);
    return text !== "" && Number.isFinite(number) ? number : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  heads.forEach((head, column) => {
    if (head.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => (up ? 1 : -1) * compare(value(a, column), value(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}
// Print what is folded away, too.
{
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const part of folded) part.open = true;
  });
  addEventListener("afterprint", () => { for (const part of folded) part.open = false; });
}
