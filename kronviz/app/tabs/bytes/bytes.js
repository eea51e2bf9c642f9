// The byte view in the browser: explanations in the float, one Tab stop per group, examples, and the
// columns of the walk. It makes no requests.
() => {
  if (window.kronvizBytes) return;
  const field = (id) => document.querySelector(`#kv-byte-${id} :is(input, textarea)`); // a slider's number

  const type = (id, value) => {
    const box = field(id);
    if (!box || value == null) return;
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  // ---- questions and their answers are numbered ----
  let asked = 0;
  const ask = (state) => [...state.slice(0, -1), (asked += 1)];
  const newest = (part, html) => {
    const number = Number(/^<!--(\d+)-->/.exec(html)?.[1] ?? 0);
    return window.kronviz?.latest(part, number, html).html ?? html;
  };

  // ---- examples and the walk ----
  document.addEventListener("click", (event) => {
    const example = event.target.closest?.(".kv-try");
    if (example) {
      type("text", example.dataset.text);
      type("with", example.dataset.with);
    }
    const column = event.target.closest?.(".kv-column");
    if (column) {
      document.querySelector(`#kv-byte-kind input[value="${column.dataset.kind}"]`)?.click();
      type("place", column.dataset.place);
    }
  });

  // ---- explanations ----
  const float = document.getElementById("kv-float");
  const tell = (target) => {
    if (!float) return;
    window.kronviz.show(target, target.dataset.words ?? target.getAttribute("aria-label"));
  };
  const told = (event) => event.target.closest?.("[data-told], .kv-column");
  for (const name of ["mouseover", "focusin"]) {
    document.addEventListener(name, (event) => { const target = told(event); if (target) tell(target); });
  }
  for (const name of ["mouseout", "focusout"]) {
    document.addEventListener(name, (event) => { if (float && told(event)) float.hidden = true; });
  }

  // ---- one Tab stop per group ----
  const members = (group) =>
    [...group.querySelectorAll("[data-told]")].filter((item) => item.closest("[data-keys]") === group);
  const settle = () => {
    for (const group of document.querySelectorAll("[data-keys]:not([data-settled])")) {
      group.dataset.settled = "";
      members(group).forEach((item, index) => { item.tabIndex = index ? -1 : 0; });
    }
  };
  // An answer drawn into the same elements removes the mark without adding or removing an element.
  new MutationObserver(settle).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-settled"] });
  settle();
  document.addEventListener("keydown", (event) => {
    const group = event.target.closest?.("[data-told]")?.closest("[data-keys]");
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!group || !step) return;
    const items = members(group);
    const from = items.indexOf(event.target.closest("[data-told]"));
    const to = Math.max(0, Math.min(items.length - 1, from + step));
    items.forEach((item, index) => { item.tabIndex = index === to ? 0 : -1; });
    items[to].focus();
    event.preventDefault();
  });

  window.kronvizBytes = { ask, newest };
}
