// Generate in the browser: examples that fill the fields and run, arrow keys through the tokens.
// It makes no requests.
() => {
  if (window.kronvizGenerate) return;
  window.kronvizGenerate = true;
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
}
