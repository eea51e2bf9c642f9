// The cost tab in the browser: its controls in the link, and back from it. No request of its own.
() => {
  if (window.kronvizCost) return;
  window.kronvizCost = true;
  const CONTROLS = {
    of: "vocabulary", tokens: "number", p: "pos", width: "width", dtype: "dtype", batch: "tokens",
  };
  const part = (id) => document.getElementById(`kv-cost-${id}`);
  const number = (id) => part(id)?.querySelector("input[type='number']");
  const value = (id) => number(id)?.value ?? part(id)?.querySelector("input:checked")?.value;

  let restoring = false;

  for (const name of ["input", "change"]) {
    document.addEventListener(name, (event) => {
      if (restoring || !event.target.closest?.("#kv-cost-controls, #kv-cost-tools")) return;
      const values = Object.entries(CONTROLS).map(([key, id]) => [key, value(id) ?? ""]);
      window.kronviz?.writeLink({ tab: "cost", ...Object.fromEntries(values) });
    });
  }

  const query = new URLSearchParams(location.search);
  if (query.get("tab") !== "cost") return;
  const pause = (time) => new Promise((done) => { setTimeout(done, time); });
  const set = (id, wanted) => {
    const radio = [...(part(id)?.querySelectorAll("input[type='radio']") ?? [])]
      .find((one) => one.value === wanted);
    if (radio) {
      if (!radio.checked) radio.click();
      return;
    }
    const box = number(id);
    if (!box || box.value === wanted || !Number.isFinite(Number(wanted))) return;
    box.value = wanted;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.dispatchEvent(new Event("blur", { bubbles: true }));
  };
  let busy = false; // a visitor's own hand goes before the link
  for (const name of ["pointerdown", "keydown"]) addEventListener(name, () => { busy = true; }, { once: true });
  const restore = async () => {
    const wanted = Object.entries(CONTROLS).filter(([key]) => query.has(key));
    // The field for a number of tokens comes once “a number” is chosen.
    const needed = ([, id]) => id !== "number" || query.get("of") === "number";
    const right = ([key, id]) => !needed([key, id]) || value(id) === query.get(key);
    restoring = true;
    for (let tries = 0; tries < 200 && !busy; tries += 1) {
      await pause(100);
      if (!part("dtype")) continue;
      if (wanted.every(right)) break;
      wanted.forEach(([key, id]) => set(id, query.get(key)));
    }
    restoring = false;
  };
  restore();
}
