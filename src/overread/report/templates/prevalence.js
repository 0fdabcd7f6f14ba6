"use strict";
// PPV and NPV by Bayes' theorem; NaN where nobody is called (0/0).
function predictiveValues(sensitivity, specificity, prevalence) {
  const hit = sensitivity * prevalence, falseAlarm = (1 - specificity) * (1 - prevalence);
  const clear = specificity * (1 - prevalence), missed = (1 - sensitivity) * prevalence;
  return [hit / (hit + falseAlarm), clear / (clear + missed)];
}
if (typeof document !== "undefined") (() => {
  const find = (id) => document.getElementById(id);
  const rows = JSON.parse(find("prevalence-data").textContent);
  const percent = (x) => Number.isFinite(x) ? (100 * x).toFixed(1) + "%" : "–";
  let prevalence = 0;
  const show = () => {
    const row = rows[find("prevalence-class").value];
    const [value, low, high] = [0, 1, 2].map(
      (end) => predictiveValues(row.sensitivity[end], row.specificity[end], prevalence));
    ["ppv", "npv"].forEach((name, i) => {
      find(name).textContent = percent(value[i]);
      find(name).dataset.value = value[i];
      find(name + "-range").textContent = `(${percent(low[i])}–${percent(high[i])})`;
      find(name + "-n").textContent = `n=${row.positive} + ${row.negative}`;
    });
  };
  const set = (share, from) => {
    prevalence = Math.min(Math.max(share, 0), 1);
    if (from !== "slide") find("prevalence-slide").value = Math.log10(Math.max(prevalence, 1e-4));
    if (from !== "value") find("prevalence-value").value = Number((100 * prevalence).toPrecision(3));
    show();
  };
  find("prevalence-slide").addEventListener("input", (e) => set(10 ** Number(e.target.value), "slide"));
  find("prevalence-value").addEventListener("input", (e) => set(Number(e.target.value) / 100, "value"));
  find("prevalence-class").addEventListener("change", show);
  find("prevalence-tool").hidden = false;
  set(0.1);
})();
