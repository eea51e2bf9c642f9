// kronviz in the browser: which answer is newest, links to views, examples, and the float that shows
// a token's id and bytes. It uses no library and makes no requests.
() => {
  if (window.kronviz) return;
  const fields = ["clean", "typo", "answer"];
  const box = (name) => document.querySelector(`#kv-${name === "answer" ? "right" : name} textarea`);
  let asked = 0;
  let linkTimer;
  let againTimer;
  let linked = {};
  const query = new URLSearchParams(location.search);
  const waiting = fields.some((name) => query.has(name));
  const showAgain = () => {
    document.documentElement.classList.remove("kv-restoring");
    document.querySelector(".kv-waiting")?.classList.remove("kv-waiting");
  };
  if (waiting) document.documentElement.classList.add("kv-restoring");

  // The newest answer wins: the answer to an earlier question is never drawn over it.
  const drawn = new Map(); // by part of the page: the number of its question, and the answer
  const latest = (part, number, html) => {
    if (number >= (drawn.get(part)?.number ?? 0)) drawn.set(part, { number, html });
    return drawn.get(part);
  };
  const newest = (html) => {
    const sequence = Number(/data-seq="(\d+)"/.exec(html)?.[1] ?? 0);
    const shown = latest("kv-answer", sequence, html);
    if (shown.number > 0) showAgain();
    const again = /data-again="([\d.]+)"/.exec(html);
    if (again && sequence === asked) {
      clearTimeout(againTimer);
      // At random moments, or all pages would ask again at once.
      const pause = 500 + 1000 * Number(again[1]) * Math.random();
      againTimer = setTimeout(() => { if (sequence === asked) document.getElementById("kv-again")?.click(); }, pause);
    }
    return shown.html;
  };

  const wellFormed = (text) => {
    const value = String(text ?? "");
    return value.toWellFormed ? value.toWellFormed() : value;
  };

  const writeLink = (values) => {
    Object.assign(linked, values);
    clearTimeout(linkTimer);
    linkTimer = setTimeout(() => {
      const url = new URL(location.href);
      for (const [name, value] of Object.entries(linked)) {
        if (value) url.searchParams.set(name, wellFormed(value));
        else url.searchParams.delete(name);
      }
      linked = {};
      window.kronvizViews.replace(url);
    }, 250);
  };

  const opening = {}; // the page's initial texts, which a link leaves out
  const ask = (clean, typo, answer, pair) => {
    const values = { clean: wellFormed(clean), typo: wellFormed(typo), answer: wellFormed(answer), pair };
    if (asked > 0 || waiting || fields.some((name) => values[name] !== opening[name])) writeLink(values);
    asked += 1;
    return [values.clean, values.typo, values.answer, pair, asked];
  };

  // With a link, the page's initial answer stays hidden until the link's own answer arrives.
  const restore = () => {
    given ??= box("answer")?.value;
    for (const name of fields) opening[name] = box(name)?.value;
    window.kronvizViews.start();
    const known = window.gradio_config?.components.find((part) => part.props?.elem_id === "kv-pair")?.props.choices;
    const pair = known?.some(([, value]) => value === query.get("pair")) ? query.get("pair") : undefined;
    if (!waiting) return [undefined, undefined, undefined, pair];
    // A visitor's own texts have no right answer unless the link names one.
    const texts = fields.map((name) => query.get(name) ?? (name === "answer" ? "" : box(name)?.value));
    if (texts.every((text, index) => text === box(fields[index])?.value) && !pair) showAgain();
    setTimeout(showAgain, 4000);
    return [...texts, pair];
  };

  // Inserted like typed text, so that the browser's undo works.
  const type = (name, value) => {
    const area = box(name);
    if (!area || area.value === value) return;
    const before = document.activeElement;
    area.focus({ preventScroll: true });
    area.select();
    if (!document.execCommand("insertText", false, value) || area.value !== value) {
      area.value = value;
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
    if (before !== area) before?.focus?.({ preventScroll: true });
  };
  let busy = false; // while the page types
  let given = null; // the right answer that came with the texts
  let earlier = null; // the texts before an example or a misspelling replaced them
  const undoing = () => document.querySelector(".kv-undo");
  const replaceTexts = (values) => {
    const now = Object.fromEntries(fields.map((name) => [name, box(name)?.value ?? ""]));
    busy = true;
    for (const [name, value] of Object.entries(values)) type(name, value);
    busy = false;
    given = box("answer")?.value;
    earlier = now;
    if (undoing()) undoing().hidden = false;
  };
  const undo = () => {
    if (!earlier) return;
    busy = true;
    for (const [name, value] of Object.entries(earlier)) type(name, value);
    busy = false;
    earlier = null;
    if (undoing()) undoing().hidden = true;
  };
  const misspelled = (made) => { if (made) replaceTexts({ typo: made }); };
  // The note on how a text was misspelled stays as long as that text.
  const note = () => {
    const said = document.querySelector("#kv-edited [data-of]");
    if (said) said.hidden = said.dataset.of !== box("typo")?.value;
  };
  document.addEventListener("input", (event) => {
    if (!event.target.closest?.("#kv-texts")) return;
    note();
    // An example's right answer does not apply to another text.
    if (!busy && event.target === box("clean") && given !== null && box("answer")?.value === given) {
      busy = true;
      type("answer", "");
      busy = false;
      given = "";
    }
  });

  document.addEventListener("click", (event) => {
    const example = event.target.closest?.(".kv-example");
    if (example) {
      replaceTexts(Object.fromEntries(fields.map((name) => [name, example.dataset[name]])));
      note();
    }
    if (event.target.closest?.(".kv-undo")) {
      undo();
      note();
      box("typo")?.focus();
    }
    if (event.target.closest?.(".kv-theme")) document.body.classList.toggle("dark");
    const models = event.target.closest?.("[data-pair]")?.dataset.pair;
    if (models) document.querySelector(`#kv-pair input[value="${CSS.escape(models)}"]`)?.click();
    const copy = event.target.closest?.(".kv-copy");
    if (copy) {
      navigator.clipboard?.writeText(location.href).then(
        () => { copy.textContent = window.kronvizViews.shortened() ? "Copied without the texts, which are too long" : "Link copied"; setTimeout(() => { copy.textContent = "Copy link to this view"; }, 1600); },
        () => {},
      );
    }
  });

  // ---- the float ----
  const float = document.createElement("div");
  float.id = "kv-float";
  float.hidden = true;
  float.setAttribute("aria-hidden", "true");
  document.body.append(float);
  const tell = (target) => {
    const { id, hex, note } = target.dataset;
    show(target, `id ${id}\nbytes ${hex}${note ? `\n${window.kronvizNumbers.words(note)}` : ""}`);
  };
  let told = null; // the element that the float explains
  const hush = () => { float.hidden = true; told = null; };
  // Beside the element and inside the window; at the foot of a narrow window, where it covers nothing.
  const show = (target, words, prose = false) => {
    told = target;
    float.textContent = words;
    float.classList.toggle("kv-float-words", prose);
    float.hidden = false;
    const at = target.getBoundingClientRect();
    const own = float.getBoundingClientRect();
    // The window's width as the style sheet sees it; a zoomed-out phone reports a larger one.
    const { clientWidth, clientHeight } = document.documentElement;
    const narrow = clientWidth < 600;
    const above = at.top - own.height - 6;
    float.style.left = `${narrow ? 8 : Math.max(8, Math.min(at.left, clientWidth - own.width - 8))}px`;
    float.style.top = `${narrow ? clientHeight - own.height - 8 : above > 8 ? above : at.bottom + 6}px`;
  };
  for (const [enter, leave] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    document.addEventListener(enter, (event) => {
      const info = event.target.closest?.(".kv-infobox");
      if (info) show(info, info.querySelector(".kv-tip").textContent, true);
    });
    document.addEventListener(leave, (event) => {
      if (event.target.closest?.(".kv-infobox") && !event.relatedTarget?.closest?.(".kv-infobox")) hush();
    });
  }
  for (const [enter, leave] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    document.addEventListener(enter, (event) => {
      const target = event.target.closest?.("[data-hex]");
      if (target) tell(target);
    });
    document.addEventListener(leave, (event) => { if (event.target.closest?.("[data-hex]")) hush(); });
  }
  // The page may scroll under the float, by focus or by hand; the float follows its element while that
  // is visible.
  addEventListener("scroll", () => {
    const { top = -1, bottom = -1 } = told?.getBoundingClientRect() ?? {};
    const kept = told?.contains(document.activeElement) || told?.matches(":hover");
    if (kept && bottom > 0 && top < innerHeight) show(told, float.textContent, float.classList.contains("kv-float-words"));
    else hush();
  }, { passive: true, capture: true });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hush();
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.shiftKey && earlier
      && !event.target.closest?.("textarea, input")) {
      event.preventDefault();
      undo();
      note();
    }
    const chip = event.target.closest?.(".kv-chip");
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!chip || !step) return;
    const chips = [...chip.parentElement.children];
    const index = Math.max(0, Math.min(chips.length - 1, chips.indexOf(chip) + step));
    chip.tabIndex = -1;
    chips[index].tabIndex = 0;
    chips[index].focus();
    event.preventDefault();
  });

  // ---- other models ----
  // What shows figures of the models before is dim until those of the chosen ones are there.
  const STORED = ".kv-of-models"; // one answer brings all of them
  const PARTS = `:is(${STORED}, .kv-answer-of-models)`;
  const numbered = (part) => part.querySelector("[data-seq]")?.dataset.seq ?? "";
  let awaited = false;
  const dim = (parts) => {
    for (const part of document.querySelectorAll(`${parts}:not(${PARTS} *, [data-stale])`)) {
      part.dataset.stale = numbered(part);
      part.setAttribute("aria-busy", "true");
    }
  };
  const stale = () => { awaited = true; dim(PARTS); };
  const fresh = (parts) => {
    if (parts === STORED) awaited = false;
    if (undoing()) undoing().hidden = !earlier; // The examples may have been drawn anew.
    for (const part of document.querySelectorAll(parts)) {
      delete part.dataset.stale;
      part.removeAttribute("aria-busy");
    }
  };
  new MutationObserver(() => {
    if (awaited) dim(STORED); // A view that is opened meanwhile.
    for (const part of document.querySelectorAll(".kv-answer-of-models[data-stale]")) {
      if (numbered(part) !== part.dataset.stale) fresh(`#${part.id}`);
    }
  }).observe(document.body, { childList: true, subtree: true });

  // ---- choices ----
  // Gradio names each choice of a field differently; with one name they form a group, in which arrow
  // keys move and which a screen reader counts.
  let groups = 0;
  const group = () => {
    for (const set of document.querySelectorAll("fieldset:has(input[type='radio'][name^='radio-'])")) {
      set.dataset.group ??= `choices-${(groups += 1)}`;
      set.setAttribute("role", "radiogroup");
      for (const choice of set.querySelectorAll("input[type='radio']")) choice.name = set.dataset.group;
    }
    for (const set of document.querySelectorAll("fieldset:not([aria-label])")) {
      const title = set.querySelector("[data-testid='block-info']")?.textContent.trim();
      if (title) set.setAttribute("aria-label", title);
    }
  };
  // By the address alone, Gradio takes the documentation of the endpoints for open, but loads it
  // only when its button is pressed: once to close it, once to open it.
  if (query.get("view") === "api") {
    for (const _ of [1, 2]) document.querySelector("footer .show-api")?.click();
  }

  new MutationObserver(group).observe(document.body, { childList: true, subtree: true });
  group();

  window.kronviz = { ask, fresh, latest, misspelled, newest, restore, show, stale, writeLink };
}
