// Inside: which answer is newest, the prediction of the chosen cell, the attention of the chosen head.
() => {
  if (window.kronvizInside) return;
  let asked = 0;
  let head = new URLSearchParams(location.search).get("inside.head") ?? "mean";
  let chosen = null;
  const open = () => document.getElementById("kv-tab-inside")?.offsetParent !== null;
  const fields = ["clean", "typo", "right"];

  const ask = (...values) => {
    if (!open()) return [...values.slice(0, -1), -1];
    asked += 1;
    return [...values.slice(0, -1), asked];
  };
  const newest = (html) => {
    const sequence = Number(/data-seq="(\d+)"/.exec(html)?.[1] ?? 0);
    return window.kronviz?.latest("kv-inside-answer", sequence, html).html ?? html;
  };
  // The texts of Compare, unless the visitor is typing here.
  const taken = (...texts) => {
    if (!open()) return fields.map(() => undefined);
    return fields.map((name, index) => {
      const box = document.querySelector(`#kv-inside-${name} textarea`);
      return !box || box === document.activeElement || box.value === texts[index] ? undefined : texts[index];
    });
  };

  // ---- heads ----
  const mean = (rows) => rows[0].map((_, token) => rows.reduce((sum, row) => sum + row[token], 0) / rows.length);
  const weighted = (weights) => {
    if (head === "mean") return mean(weights.flat());
    const [block, one] = head.split(".").map(Number);
    const heads = weights[block - 1];
    if (!heads) return mean(weights.flat());
    return one ? heads[one - 1] ?? mean(heads) : mean(heads);
  };
  const shade = () => {
    const page = document.getElementById("kv-inside-answer");
    if (!page) return;
    const select = page.querySelector(".kv-ins-head");
    if (select) {
      if (![...select.options].some((option) => option.value === head)) head = "mean";
      select.value = head;
    }
    for (const look of page.querySelectorAll(".kv-ins-look")) {
      const shares = weighted(JSON.parse(look.dataset.weights));
      [...look.querySelectorAll(".kv-ins-token")].forEach((token, index) => {
        token.style.setProperty("--w", shares[index].toFixed(3));
        const share = Math.round(shares[index] * 100);
        token.querySelector("small").textContent = `${share}`;
        token.title = `${share}% of the attention`;
      });
    }
    for (const pick of page.querySelectorAll(".kv-ins-pick")) pick.setAttribute("aria-pressed", pick.dataset.head === head);
  };
  const pick = (name) => {
    head = name;
    shade();
    window.kronviz?.writeLink({ "inside.head": head === "mean" ? "" : head });
  };

  // ---- cells ----
  const tell = (cell) => {
    const told = document.querySelector("#kv-inside-answer .kv-ins-told");
    if (!told || !cell) return;
    document.querySelectorAll(".kv-heat-cell[aria-pressed]").forEach((other) => other.removeAttribute("aria-pressed"));
    cell.setAttribute("aria-pressed", "true");
    chosen = cell.getAttribute("data-arm") + cell.dataset.place;
    told.replaceChildren();
    const name = document.createElement("strong");
    name.textContent = `${cell.dataset.arm}, ${cell.dataset.place}`;
    const rest = document.createElement("span");
    rest.textContent = `: ${cell.dataset.shares}; ${cell.dataset.kl} nats from the clean prediction. It then predicts `;
    told.append(name, rest);
    JSON.parse(cell.dataset.guesses).forEach(([text, share], index) => {
      const token = document.createElement("bdi");
      token.className = "kv-piece";
      token.textContent = text;
      told.append(index ? ", " : "", token, ` ${share}%`);
    });
    told.classList.remove("kv-quiet");
  };

  document.addEventListener("click", (event) => {
    const cell = event.target.closest?.(".kv-heat-cell");
    if (cell) tell(cell);
    const named = event.target.closest?.(".kv-ins-pick");
    if (named) pick(named.dataset.head);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches?.(".kv-ins-head")) pick(event.target.value);
  });
  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.(".kv-heat-cell");
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
    if (!cell || (!down && !right)) return;
    event.preventDefault();
    const rows = [...cell.closest("tbody").rows].map((row) => [...row.querySelectorAll(".kv-heat-cell")]);
    const row = rows.findIndex((cells) => cells.includes(cell));
    const next = rows[row + down]?.[rows[row].indexOf(cell) + right];
    if (!next) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    tell(next);
  });

  // The choices stay while an answer arrives in parts. Gradio changes only what differs from the
  // answer before, which may be what was written here.
  const settle = () => {
    shade();
    if (!chosen) return;
    const cell = [...document.querySelectorAll(".kv-heat-cell")].find((one) => one.dataset.arm + one.dataset.place === chosen);
    if (cell && (!cell.hasAttribute("aria-pressed") || document.querySelector("#kv-inside-answer .kv-ins-told.kv-quiet"))) tell(cell);
  };
  const watch = () => {
    const page = document.getElementById("kv-inside-answer");
    if (!page) return setTimeout(watch, 300);
    const observer = new MutationObserver(() => {
      settle();
      observer.takeRecords(); // its own changes
    });
    observer.observe(page, { childList: true, subtree: true });
    settle();
  };
  watch();

  window.kronvizInside = { ask, newest, taken };
}
