// Generate in the browser: examples that fill the fields and run, arrow keys through the tokens,
// and the link that brings a view back. No request of its own.
() => {
  if (window.kronvizGenerate) return;
  const field = (id) => document.querySelector(`#kv-gen-${id} :is(textarea, input[type="number"], input)`);
  const chosen = () => document.querySelector("#kv-gen-mode input:checked")?.value ?? "clean";
  const press = (id) => {
    const part = document.querySelector(`#kv-gen-${id}`);
    (part?.matches("button") ? part : part?.querySelector("button"))?.click();
  };
  const type = (id, value) => {
    const box = field(id);
    if (!box) return;
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const choose = (mode) => document.querySelector(`#kv-gen-mode input[value="${mode}"]`)?.click();

  // ---- the link ----
  let timer;
  const remember = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const mode = chosen();
      const values = {
        tab: "generate",
        mode,
        prompt: mode === "slot" ? "" : field("prompt")?.value,
        misspelled: mode === "typo" ? field("typo")?.value : "",
        slotted: mode === "slot" ? field("slotted")?.value : "",
        string: mode === "slot" ? field("string")?.value : "",
      };
      // A closed accordion holds no fields: what the link says of them stays.
      for (const knob of ["temperature", "top_p", "max_tokens", "seed", "repeat_limit"]) {
        if (field(knob)) values[knob] = field(knob).value;
      }
      const url = new URL(location.href);
      for (const name of ["clean", "typo", "text", "with"]) url.searchParams.delete(name);
      for (const [name, value] of Object.entries(values)) {
        if (value) url.searchParams.set(name, value.toWellFormed?.() ?? value);
        else url.searchParams.delete(name);
      }
      window.kronvizViews.replace(url);
    }, 250);
  };
  for (const name of ["input", "change"]) {
    document.addEventListener(name, (event) => {
      if (event.target.closest?.("#kv-gen")) remember();
    });
  }
  const asked = new URLSearchParams(location.search).get("tab") === "generate";
  const open = () => {
    if (!asked) return "";
    document.querySelector("button[role=tab]#kv-tab-generate-button")?.click();
    return location.search;
  };
  let gone = false;
  const go = () => {
    if (!asked || gone) return;
    gone = true;
    setTimeout(() => press("start"), 100);
  };

  // ---- examples ----
  document.addEventListener("click", (event) => {
    const example = event.target.closest?.(".kv-gen-try");
    if (!example) return;
    const { kind, first, second } = example.dataset;
    press("stop");
    if (kind === "slot") {
      choose("slot");
      type("slotted", first);
      type("string", second);
    } else {
      if (chosen() === "slot") choose("clean");
      type("prompt", first);
      type("typo", second);
    }
    setTimeout(() => press("start"), 150);
  });

  // ---- the tokens ----
  document.addEventListener("keydown", (event) => {
    const token = event.target.closest?.(".kv-gen-token");
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!token || !step) return;
    const tokens = [...token.parentElement.querySelectorAll(".kv-gen-token")];
    const index = Math.max(0, Math.min(tokens.length - 1, tokens.indexOf(token) + step));
    token.tabIndex = -1;
    tokens[index].tabIndex = 0;
    tokens[index].focus();
    event.preventDefault();
  });

  window.kronvizGenerate = { open, go };
}
