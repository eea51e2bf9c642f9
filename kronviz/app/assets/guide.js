// The guided tour in the browser: shows one step, opens its tab, keeps its number in the link.
() => {
  if (window.kronvizGuide) return;
  window.kronvizGuide = true;
  const path = () => document.querySelector(".kv-path");
  const steps = () => [...document.querySelectorAll(".kv-step")];
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const reveal = (target, block) =>
    target?.scrollIntoView({ block, behavior: still() ? "auto" : "smooth" });
  const open = (tab) => window.kronvizViews.open(tab);
  const KEPT = "kronviz-step";
  let current = 0; // 0 means no step, 1 the first
  let left = 0; // the step at which the visitor left, and to which the button in the head returns

  // A visitor who leaves halfway can resume, even after a reload; after the end the tour starts anew.
  const leaveAt = (number) => {
    left = number > 1 && number <= steps().length ? number : 0;
    const start = document.querySelector(".kv-path-start");
    if (start) start.textContent = left ? `Back to step ${left} of ${steps().length}` : start.dataset.words;
    try {
      if (left) sessionStorage.setItem(KEPT, left);
      else sessionStorage.removeItem(KEPT);
    } catch { /* a browser that keeps nothing */ }
  };

  const show = (number, opening = true) => {
    const all = steps();
    current = Math.max(0, Math.min(all.length, number));
    path().hidden = !current;
    document.documentElement.classList.toggle("kv-on-path", current > 0);
    all.forEach((step, index) => { step.hidden = index !== current - 1; });
    document.querySelectorAll(".kv-step-mark").forEach((mark, index) => {
      mark.classList.toggle("kv-step-done", index < current);
    });
    if (current) {
      const step = all[current - 1];
      path().querySelector(".kv-step-count b").textContent = current;
      path().querySelector(".kv-step-back").disabled = current === 1;
      path().querySelector(".kv-step-next").textContent = current === all.length ? "Finish" : "Next";
      if (opening) open(step.dataset.tab);
    }
    window.kronviz?.writeLink({ step: current || "" });
  };
  const leave = () => {
    leaveAt(current);
    show(0);
    document.querySelector(".kv-path-start")?.focus();
  };

  document.addEventListener("click", (event) => {
    const pressed = (name) => event.target.closest?.(name);
    if (pressed(".kv-path-start")) {
      show(left || 1);
      steps()[current - 1].querySelector(".kv-step-title").focus({ preventScroll: true });
      reveal(path(), "nearest");
    } else if (pressed(".kv-step-off")) leave();
    else if (pressed(".kv-step-back")) show(current - 1);
    else if (pressed(".kv-step-next")) {
      if (current < steps().length) return show(current + 1);
      leaveAt(0);
      show(0);
      open("about");
      document.querySelector(".kv-masthead [data-opens=about]")?.focus();
    } else if (pressed(".kv-step-try")) {
      const { press, show: sight } = pressed(".kv-step-try").dataset;
      open(steps()[current - 1].dataset.tab);
      document.querySelector(press)?.click();
      setTimeout(() => reveal(document.querySelector(sight), "start"), 300);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.closest?.(".kv-path")) leave();
  });

  const query = new URLSearchParams(location.search);
  const wanted = Number.parseInt(query.get("step"), 10);
  if (wanted > 0) {
    let turns = 0;
    const begin = () => {
      if (path() && window.kronvizViews?.start()) show(wanted, !query.has("tab"));
      else if ((turns += 1) < 200) setTimeout(begin, 50);
    };
    begin();
  }
  let tries = 0;
  const remember = () => {
    if (document.querySelector(".kv-path-start") && path()) {
      try { leaveAt(Number.parseInt(sessionStorage.getItem(KEPT), 10) || 0); } catch { leaveAt(0); }
    } else if ((tries += 1) < 200) setTimeout(remember, 50);
  };
  remember();
}
