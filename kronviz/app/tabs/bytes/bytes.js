// The byte view in the browser: explanations in the float, one Tab stop per group, examples, the
// columns of the walk, and links. It makes no requests.
() => {
  if (window.kronvizBytes) return;
  const field = (id) => document.querySelector(`#kv-byte-${id} :is(input, textarea)`); // a slider's number
  const chosen = (id) => document.querySelector(`#kv-byte-${id} input:checked`)?.value;

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

  // ---- the link ----
  let fields = {}; // the ends of the fields' ids, by their names in links
  const remember = () => {
    const values = Object.entries(fields).map(([name, id]) => [name, chosen(id) ?? field(id)?.value]);
    window.kronviz.writeLink(Object.fromEntries(values));
  };
  for (const name of ["input", "change"]) {
    document.addEventListener(name, (event) => {
      const part = event.target.closest?.("[id^='kv-byte-']");
      if (part) remember();
    });
  }
  // Follow a link: open the tab and fill in its fields like a visitor.
  const follow = async (named) => {
    fields = named;
    const query = new URLSearchParams(location.search);
    if (query.get("tab") !== "bytes") return;
    document.documentElement.classList.add("kv-byte-following");
    const pause = (time) => new Promise((done) => { setTimeout(done, time); });
    const wait = async (find) => {
      for (let tries = 0; tries < 200; tries += 1) {
        const result = find();
        if (result) return result;
        await pause(50);
      }
      return null;
    };
    (await wait(() => document.querySelector("#kv-tab-bytes-button")))?.click();
    const asked = Object.fromEntries(Object.entries(named).map(([name, id]) => [id, query.get(name)]));
    const choices = ["positions", "kind", "vocabulary"];
    const radio = (id) => [...document.querySelectorAll(`#kv-byte-${id} input`)].find((one) => one.value === asked[id]);
    const shown = () => document.querySelector("#kv-byte-sheet .kv-bytes");
    const answered = () => {
      const right = shown()?.dataset.of === field("text").value && shown().dataset.positions === chosen("positions");
      return choices.every((id) => radio(id)?.checked ?? true) && (right || shown()?.querySelector(".kv-refused"))
        && ["text", "with"].every((id) => field(id).value === (asked[id] ?? field(id).value));
    };
    if (await wait(() => shown() && field("with") && document.querySelector("#kv-byte-near .kv-near"))) {
      // A page that is still loading may drop typed text: try until it answers.
      for (let tries = 0; tries < 8 && !answered(); tries += 1) {
        for (const one of choices.map(radio)) if (one && !one.checked) one.click();
        for (const id of ["text", "with"]) type(id, asked[id]);
        for (let turn = 0; turn < 20 && !answered(); turn += 1) await pause(50);
      }
      const { min, max } = field("place") ?? {};
      const place = Number(asked.place);
      if (Number.isInteger(place) && place >= Number(min) && place <= Number(max)) type("place", String(place));
    }
    document.documentElement.classList.remove("kv-byte-following");
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

  window.kronvizBytes = { ask, follow, newest };
}
