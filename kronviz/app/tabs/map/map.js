// The tab “Map”: fetches the maps when the tab is opened, colours them, marks the words of an answer,
// selects by click, and keeps the link. Words and answers go through the page's fields; only the maps
// are requested here.
() => {
  if (window.kronvizMap) return;
  const SIDES = ["left", "right"];
  const LABELS = 14;
  const find = (id) => document.getElementById(`kv-map-${id}`);
  const field = (id) => document.querySelector(`#kv-map-${id} :is(input, textarea)`);
  const chosen = (side) => document.querySelector(`#kv-map-space-${side} input:checked`)?.value;
  const frame = (side) => document.querySelector(`.kv-map[data-side="${side}"]`);
  const pair = () => document.querySelector("#kv-pair input:checked")?.value ?? frame("left")?.dataset.pair;
  const format = (...asked) => window.kronvizNumbers.format(...asked);
  const pause = (time) => new Promise((done) => { setTimeout(done, time); });
  const wait = async (condition, tries = 400) => {
    for (let turn = 0; turn < tries; turn += 1) {
      const result = condition();
      if (result) return result;
      await pause(25);
    }
    return null;
  };
  const type = (id, value) => {
    const box = field(id);
    if (!box || value === undefined || value === null) return;
    const kind = box.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(box, value);
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const USUAL = "case"; // the colours that a map opens with
  const plots = {};
  const maps = {}; // by side: { key, about, points, vocabulary }
  const vocabularies = new Map();
  const shown = { answer: null, placed: null, fresh: null, colour: USUAL, only: null, lasso: null, picked: null, moved: {} };
  let lassoing = false;
  let started = false;
  let linkTimer;

  // ---- fetching ----
  const unpack = async (address) => {
    const response = await fetch(new URL(address, document.baseURI.split("?")[0]));
    if (!response.ok) throw await response.json().catch(() => ({ problem: "The map could not be fetched; reload the page." }));
    const data = await response.arrayBuffer();
    const size = new DataView(data).getUint32(0, true);
    const about = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    let start = 4 + size;
    const arrays = {};
    for (const [name, kind, count] of about.arrays) {
      arrays[name] = new { u4: Uint32Array, u2: Uint16Array, u1: Uint8Array }[kind](data, start, count);
      start += arrays[name].byteLength;
    }
    return { about, arrays };
  };
  const vocabulary = (name) => {
    if (!vocabularies.has(name)) {
      const read = unpack(`kronviz/tokens/${encodeURIComponent(name)}`).then((words) => {
        words.starts = new Uint32Array(words.arrays.lengths.length + 1);
        words.arrays.lengths.forEach((length, index) => { words.starts[index + 1] = words.starts[index] + length; });
        return words;
      });
      read.catch(() => vocabularies.delete(name));
      vocabularies.set(name, read);
    }
    return vocabularies.get(name);
  };
  const bytes = (words, id) => words.arrays.bytes.subarray(words.starts[id], words.starts[id + 1]);
  const hex = (data) => [...data].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const text = (words, id) => {
    try { return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes(words, id)); } catch { return null; }
  };
  const readable = (value) => value.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/[\p{C}\p{Z}]/gu, "·");
  const label = (words, id) => readable(text(words, id) ?? `⟨${hex(bytes(words, id))}⟩`);
  const short = (value) => ([...value].length > 18 ? `${[...value].slice(0, 17).join("")}…` : value);

  const say = (side, sentence, button) => {
    const status = frame(side)?.querySelector(".kv-map-status");
    if (!status) return;
    status.textContent = window.kronvizNumbers.words(sentence);
    status.hidden = !sentence;
    if (!button) return;
    const draw = document.createElement("button");
    draw.type = "button";
    draw.className = "kv-map-redraw";
    draw.textContent = "Draw this map now";
    draw.addEventListener("click", () => { say(side, "Drawing takes seconds for a small vocabulary, a minute for a large one."); find(`draw-${side}`)?.click(); });
    status.append(document.createElement("br"), draw);
  };

  const load = async (side, again = false) => {
    const [name, space] = [pair(), chosen(side)];
    const key = `${name}/${space}`;
    if (!space || (maps[side]?.key === key && !again)) return;
    const before = maps[side]?.points ? maps[side] : null;
    maps[side] = { key };
    shown.moved[side] = [];
    if (before) stale(true);
    if (!before) say(side, "Loading …");
    try {
      const { about, arrays } = await unpack(`kronviz/map/${encodeURIComponent(name)}/${encodeURIComponent(space)}`);
      const words = await vocabulary(about.vocabulary);
      if (maps[side].key !== key) return;
      maps[side] = { key, about, points: arrays.points, words };
      if (!shown.fresh) show(side, before);
      say(side, "");
      pick();
    } catch (error) {
      if (maps[side].key !== key) return;
      plots[side].set(new Uint16Array(0), 1);
      caption(side, "");
      say(side, error.problem ?? "The map could not be fetched; reload the page.", error.drawable);
      // An uploaded table was chosen on purpose, and no file holds its map, so it is drawn.
      if (error.drawable && /^table/.test(space)) frame(side).querySelector(".kv-map-redraw")?.click();
    }
    mark();
  };
  const caption = (side, sentence) => { frame(side).querySelector("figcaption").textContent = sentence || "\u00a0"; };
  // The text under the maps belongs to other spaces until the new answer arrives.
  const stale = (old) => {
    for (const id of ["near", "figures", "placed"]) find(id)?.classList.toggle("kv-map-stale", old);
  };
  const MOST = 12;
  // The tokens that moved most, as shares of the picture.
  const travelled = (from, to) => {
    const far = Array.from({ length: to.length / 2 }, (_, id) => [id, Math.hypot(to[2 * id] - from[2 * id], to[2 * id + 1] - from[2 * id + 1])]);
    return far.sort((a, b) => b[1] - a[1]).slice(0, MOST).map(([id]) => id);
  };
  const show = (side, before = null) => {
    const { about, points } = maps[side];
    const same = before && before.about.vocabulary === about.vocabulary && before.points.length === points.length;
    const { view, home } = plots[side];
    const whole = !home || (view.x === home.x && view.y === home.y && view.z === home.z);
    if (same) {
      plots[side].morph(points, 65535);
      shown.moved[side] = travelled(before.points, points);
    } else plots[side].set(points, 65535);
    if (!same || whole) plots[side].look(plots[side].home, false);
    colour(side);
    const { k, asked, trustworthiness, overlap } = about.faithfulness;
    const percent = (share) => `${(100 * share).toFixed(0)}%`;
    const sample = asked < about.tokens ? ` (of ${format(asked)} tokens, drawn with a fixed seed)` : "";
    caption(side, `${format(about.tokens)} tokens. ${percent(overlap)} of a token’s ${k} nearest here are among its ${k} nearest in the original space; trustworthiness ${format(trustworthiness, 3)} of 1${sample}.${same ? ` Ringed: the ${MOST} tokens that moved most.` : ""}`);
  };

  // ---- colour ----
  const paint = (name) => {
    const value = getComputedStyle(frame("left")).getPropertyValue(`--kv-${name}`).trim();
    return [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
  };
  const ramp = (share) => {
    const at = Math.max(0, Math.min(1, share)) * 4;
    const low = Math.min(3, Math.floor(at));
    const [a, b] = [paint(`scale-${low}`), paint(`scale-${low + 1}`)];
    return a.map((value, channel) => Math.round(value + (b[channel] - value) * (at - low)));
  };
  // A colouring: the value of every token, the colours, and their names.
  const scheme = (words, arm) => {
    const { arrays, about } = words;
    const steps = (name, values, low, high, unit) => ({
      values, colours: Array.from({ length: high + 1 }, (_, value) => ramp((value - low) / Math.max(1, high - low))),
      names: [unit(low), unit(Math.round((low + high) / 2)), unit(high)], scale: true,
    });
    const classes = (values, names, quiet) => ({
      values, names, quiet,
      colours: names.map((_, place) => (place === quiet ? paint("edge") : paint(`class-${((place - (quiet !== undefined && place > quiet ? 1 : 0)) % 8)}`))),
    });
    switch (shown.colour) {
      case "family": return classes(arrays.family, ["no probe family", ...about.families], 0);
      case "space": return classes(arrays.space, about.space, 0);
      case "case": return classes(arrays.case, about.cases, 0);
      case "script": return classes(arrays.script, about.scripts, 7);
      case "length": return steps("length", arrays.lengths.map((value) => Math.min(value, 14)), 1, 14, (v) => (v === 14 ? "14 bytes and more" : v === 1 ? "1 byte" : `${v}`));
      case "frequency": if (arrays.frequency) {
        return steps("frequency", arrays.frequency, 0, arrays.frequency.reduce((a, b) => Math.max(a, b), 1), (v) => (v ? `${format(Math.round(2 ** (v / about.per_octave)))} times` : "never seen"));
      } // not counted for this vocabulary: uses the model's colour
      default: return { values: null, colours: [paint(arm)], names: [] };
    }
  };
  const colour = (side) => {
    const { words, points } = maps[side] ?? {};
    if (!points || shown.fresh) return;
    const way = scheme(words, frame(side).dataset.arm);
    const colours = new Uint8Array(points.length * 2);
    const dim = shown.answer || shown.placed;
    for (let i = 0; i < points.length / 2; i += 1) {
      const value = way.values ? way.values[i] : 0;
      const aside = (shown.picked && !shown.picked.has(i)) || (shown.only !== null && !way.scale && value !== shown.only) || (way.quiet === value && shown.only === null && shown.colour === "family");
      colours.set(way.colours[value] ?? way.colours.at(-1), 4 * i);
      colours[4 * i + 3] = aside ? 56 : way.values ? 200 : dim ? 120 : 150;
    }
    plots[side].paint(colours);
    if (side === "left") key(way);
    else if (shown.colour === "frequency" && !way.values) document.querySelector(".kv-map-key").insertAdjacentText("beforeend", " (right: not counted)");
  };
  const key = (way) => {
    const list = document.querySelector(".kv-map-key");
    list.replaceChildren();
    if (shown.colour === "frequency" && !way.values) {
      list.innerHTML = "<li>not counted for this vocabulary</li>";
      return;
    }
    if (way.scale) {
      const item = document.createElement("li");
      item.className = "kv-map-ramp";
      const bar = document.createElement("i");
      item.append(way.names[0], bar, way.names[2]);
      list.append(item);
      return;
    }
    way.names.forEach((name, place) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.dataset.only = place;
      button.setAttribute("aria-pressed", String(shown.only === place));
      button.style.setProperty("--dot", `rgb(${way.colours[place].join(",")})`);
      item.append(button);
      list.append(item);
    });
  };
  const repaint = () => SIDES.forEach(colour);

  // ---- marks ----
  const place = (side, id) => { const { places } = plots[side]; return [places[2 * id], places[2 * id + 1]]; };
  const mark = () => SIDES.forEach((side, number) => {
    const items = { lines: [], marks: [] };
    const map = maps[side];
    if (!plots[side]) return;
    if (shown.fresh) {
      const own = shown.fresh.sides[number];
      own.points.forEach((at, index) => items.marks.push({ kind: "own", at, label: short(readable(shown.fresh.words[index])), mean: own.basis[index] === "mean" }));
    } else if (map?.points) {
      const answer = shown.answer?.sides[number];
      if (answer && answer.space === map.about.space && answer.at) {
        items.marks.push({ kind: "self", at: answer.at, label: short(readable(shown.answer.word)), mean: answer.basis === "mean" });
        const counts = {};
        for (const [id, kind] of answer.family) {
          const at = place(side, id);
          counts[kind] = (counts[kind] ?? 0) + 1;
          items.lines.push({ kind, from: answer.at, to: at });
          items.marks.push({ kind, at, label: counts[kind] <= LABELS / (kind === "byte" ? 3 : 1) ? short(label(map.words, id)) : "" });
        }
        for (const [id] of answer.near) items.marks.push({ kind: "near", at: place(side, id), label: "" });
      }
      for (const id of shown.moved[side] ?? []) items.marks.push({ kind: "moved", at: place(side, id), label: short(label(map.words, id)) });
      const own = shown.placed?.sides[number];
      if (own && own.space === map.about.space) {
        own.points.forEach((at, index) => { if (at) items.marks.push({ kind: "own", at, label: short(readable(shown.placed.words[index])), mean: own.basis[index] === "mean" }); });
      }
    }
    items.lines.reverse();
    plots[side].mark(items);
  });
  // ---- the selection: inside the lasso, of the chosen colour ----
  const pick = () => {
    const panel = document.querySelector(".kv-map-picked");
    const side = shown.lasso?.side ?? "left";
    const map = maps[side];
    const way = map?.points && shown.only !== null ? scheme(map.words, frame(side).dataset.arm) : null;
    const filtered = way && !way.scale && way.values;
    SIDES.forEach((one) => { plots[one].line = shown.lasso?.side === one ? shown.lasso.line : null; });
    if (!map?.points || shown.fresh || (!shown.lasso && !filtered)) shown.picked = null;
    else {
      let ids = shown.lasso ? window.kronvizGroups.inside(shown.lasso.line, plots[side].places) : Array.from({ length: plots[side].count }, (_, id) => id);
      if (filtered) ids = ids.filter((id) => way.values[id] === shown.only);
      shown.picked = new Set(ids);
    }
    panel.hidden = !shown.picked;
    if (shown.picked) {
      const ids = [...shown.picked];
      panel.querySelector("h3").textContent = `${format(ids.length)} ${ids.length === 1 ? "token" : "tokens"} selected`;
      const chips = ids.slice(0, LISTED).map((id) => {
        const chip = document.createElement("button");
        chip.type = "button";
        chip.className = "kv-map-token kv-bit";
        chip.dataset.hex = hex(bytes(map.words, id));
        const word = document.createElement("bdi");
        word.textContent = label(map.words, id);
        chip.append(word);
        return chip;
      });
      panel.querySelector(".kv-tokens").replaceChildren(...chips, ...(ids.length > LISTED ? [`… and ${format(ids.length - LISTED)} more`] : []));
    }
    repaint();
    SIDES.forEach((one) => plots[one].later());
    remember();
  };
  const LISTED = 120;
  const exported = () => {
    const { words } = maps[shown.lasso?.side ?? "left"];
    const quoted = (value) => `"${value.replaceAll('"', '""')}"`;
    const rows = [...shown.picked].map((id) => [words.arrays.ids ? words.arrays.ids[id] : id, quoted(label(words, id)), quoted(hex(bytes(words, id)))].join(","));
    window.kronvizMapSave.save(`\ufeffid,token,bytes\r\n${rows.join("\r\n")}\r\n`, "kronviz-selection.csv", "text/csv");
  };
  const lasso = (on) => {
    lassoing = on;
    document.querySelector("[data-lasso]")?.setAttribute("aria-pressed", String(on));
    document.querySelectorAll(".kv-map-frame").forEach((one) => one.classList.toggle("kv-map-lassoing", on));
  };
  const relatives = (side) => {
    const answer = shown.answer?.sides[SIDES.indexOf(side)];
    if (shown.fresh || !answer?.at) return [];
    return [answer.at, ...answer.family.filter(([, kind]) => kind !== "byte").slice(0, 24).map(([id]) => place(side, id))];
  };
  // Bytes that a field cannot hold are written as on the page: \xe2\x80.
  const typable = (value) => !/[\r\n\0]|^#\d+$|\\x[0-9a-f]{2}/.test(value);
  const spelled = (data) => [...data].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  const select = (side, id) => {
    if (shown.fresh) return;
    const { words } = maps[side];
    const value = text(words, id);
    type("word", value !== null && typable(value) ? value : spelled(bytes(words, id)));
  };
  const hover = (side, id, event) => {
    const float = document.getElementById("kv-float");
    if (!float) return;
    frame(side).querySelector(".kv-map-frame").style.cursor = id === null ? "" : "pointer";
    float.hidden = id === null;
    if (id === null) return;
    if (shown.fresh) float.textContent = readable(shown.fresh.words[id]);
    else {
      const { words } = maps[side];
      const times = words.arrays.frequency ? `\nseen about ${format(Math.round(2 ** (words.arrays.frequency[id] / words.about.per_octave)) - 1)} times in training text` : "";
      const rank = words.arrays.ids ? `id ${words.arrays.ids[id]}` : `id ${id}, merge rank ${format(id)} of ${format(words.about.tokens)}`;
      float.textContent = `${label(words, id)}\n${rank}\nbytes ${hex(bytes(words, id))}${times}`;
    }
    const own = float.getBoundingClientRect();
    float.style.left = `${Math.max(8, Math.min(event.clientX + 14, document.documentElement.clientWidth - own.width - 8))}px`;
    float.style.top = `${event.clientY + own.height + 24 > document.documentElement.clientHeight ? event.clientY - own.height - 10 : event.clientY + 16}px`;
  };

  // The same by keyboard: for the point nearest to the middle, also announced to screen readers.
  const aim = (side, id) => {
    const { left, top, width, height } = frame(side).querySelector(".kv-map-frame").getBoundingClientRect();
    hover(side, id, { clientX: left + width / 2, clientY: top + height / 2 });
    const word = id === null ? "" : shown.fresh ? readable(shown.fresh.words[id]) : label(maps[side].words, id);
    frame(side).querySelector(".kv-map-aimed").textContent = word;
  };

  // ---- answers that arrive in the page ----
  const hear = () => {
    const read = (selector, name) => {
      const json = document.querySelector(selector)?.dataset[name];
      return json ? JSON.parse(json) : null;
    };
    let last = "";
    new MutationObserver(() => {
      const source = document.querySelector("#kv-map-near [data-answer]")?.dataset.answer ?? "";
      const own = document.querySelector("#kv-map-placed [data-placed]")?.dataset.placed ?? "";
      const fresh = document.querySelector("#kv-map-fresh [data-fresh]")?.dataset.fresh ?? "";
      const drawn = SIDES.map((side) => document.querySelector(`#kv-map-drawing-${side} [data-drawn]`)?.dataset.drawn ?? "").join();
      const now = [source, own, fresh, drawn].join("\n");
      if (now === last) return;
      const before = last.split("\n");
      last = now;
      shown.answer = read("#kv-map-near [data-answer]", "answer");
      shown.placed = read("#kv-map-placed [data-placed]", "placed");
      if (SIDES.every((side, number) => !shown.answer || shown.answer.sides[number].space === chosen(side))) stale(false);
      if (source !== before[0] && before[0] && shown.fresh) anew(null);
      if (source !== before[0]) reveal();
      if (fresh !== (before[2] ?? "")) anew(fresh ? JSON.parse(fresh) : null);
      if (drawn !== before[3]) SIDES.forEach((side, number) => { if (drawn.split(",")[number] === chosen(side) && drawn !== (before[3] ?? "")) load(side, true); });
      SIDES.forEach((side) => load(side));
      mark();
      remember();
    }).observe(find("near").closest(".tabitem") ?? document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-answer", "data-placed", "data-fresh", "data-drawn"] });
  };
  // Bring a searched word into view: zoom out from the initial view, else move.
  const reveal = () => SIDES.forEach((side, number) => {
    const plot = plots[side];
    const at = shown.answer?.sides[number].at;
    if (!at || !plot.home || !plot.width || shown.fresh || started === "following" || shown.answer.sides[number].space !== maps[side]?.about?.space) return;
    const [left, top] = plot.toScreen(...at);
    if (left > 24 && top > 24 && left < plot.width - 70 && top < plot.height - 24) return;
    const { x, y, z } = plot.home;
    const [wide, high] = [plot.width / 2, plot.height / 2].map((half) => (0.9 * half) / plot.unit);
    if (plot.view.x === x && plot.view.z === z) plot.fit([at, [x - wide, y - high], [x + wide, y + high]]);
    else plot.look({ x: at[0], y: at[1], z: plot.view.z });
  });
  const anew = (fresh) => {
    shown.fresh = fresh;
    SIDES.forEach((side, number) => {
      if (fresh) {
        plots[side].set(Float32Array.from(fresh.sides[number].points.flat()), 1);
        plots[side].paint(new Uint8Array(4 * plots[side].count));
        plots[side].look(plots[side].home, false);
        caption(side, `Only your words, laid out by UMAP${fresh.sides[number].basis.includes("mean") ? "; dashed: mean of several tokens" : ""}.`);
        say(side, "");
      } else if (maps[side]?.points) show(side);
    });
    mark();
  };

  // ---- the link ----
  const remember = () => {
    if (!started || started === "following" || !SIDES.every((side) => plots[side]?.home)) return;
    clearTimeout(linkTimer);
    linkTimer = setTimeout(() => {
      const words = field("words")?.value ?? "";
      const looks = SIDES.map((side) => { const { x, y, z } = plots[side].view; return [x, y, z].map((v) => v.toFixed(4)).join(","); });
      window.kronviz?.writeLink({
        "map.word": field("word")?.value,
        "map.left": chosen("left"),
        "map.right": chosen("right"),
        "map.colour": shown.colour === USUAL ? "" : shown.colour,
        "map.only": shown.only === null ? "" : String(shown.only),
        "map.lasso": shown.lasso ? window.kronvizGroups.written(shown.lasso.side, shown.lasso.line) : "",
        "map.words": words.length <= 3000 ? words : "",
        "map.at": shown.fresh || SIDES.every((side) => plots[side].view.z === plots[side].home.z && plots[side].view.x === plots[side].home.x) ? "" : looks.join(";"),
      });
    }, 300);
  };
  const follow = async (query) => {
    if (query.get("tab") !== "map") return;
    started = "following";
    await wait(() => document.querySelector("#kv-map-near [data-answer], #kv-map-near .kv-refused"));
    const settled = () => ["left", "right"].every((side) => {
      const wanted = query.get(`map.${side}`);
      const radio = [...document.querySelectorAll(`#kv-map-space-${side} input`)].find((one) => one.value === wanted);
      if (radio && !radio.checked) radio.click();
      return !radio || radio.checked;
    });
    const word = query.get("map.word");
    const words = query.get("map.words");
    for (let turn = 0; turn < 8; turn += 1) {
      const right = settled();
      if (word && field("word").value !== word) type("word", word);
      if (words && field("words").value !== words) type("words", words);
      const answered = () => (!words || document.querySelector("#kv-map-placed [data-placed], #kv-map-placed .kv-refused"))
        && (!word || /^#|\\x/.test(word) || shown.answer?.word === word || document.querySelector("#kv-map-near .kv-refused"));
      if (right && await wait(answered, 60)) break;
      if (words) type("words", `${words}\n`);
    }
    const colours = [...find("colour").options].map((one) => one.value);
    if (colours.includes(query.get("map.colour"))) {
      shown.colour = query.get("map.colour");
      find("colour").value = shown.colour;
      repaint();
    }
    shown.lasso = window.kronvizGroups.read(query.get("map.lasso"));
    const looks = query.get("map.at")?.split(";") ?? [];
    await wait(() => SIDES.every((side) => maps[side]?.points), 200);
    const way = maps.left?.points ? scheme(maps.left.words, frame("left").dataset.arm) : null;
    const only = Number(query.get("map.only") ?? NaN);
    if (way && !way.scale && only in way.names) shown.only = only;
    looks.forEach((look, number) => {
      const [x, y, z] = look.split(",").map(Number);
      if ([x, y].every((at) => Math.abs(at - 0.5) <= 1) && z >= 0.5 && z <= 400 && plots[SIDES[number]]) plots[SIDES[number]].look({ x, y, z }, false);
    });
    started = true;
    if (!looks.length) reveal();
    pick();
  };

  // ---- events ----
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (!(target instanceof Element) || !started) return;
    const family = target.closest(".kv-map-try");
    if (family) type("word", family.dataset.word);
    const token = target.closest(".kv-map-token");
    if (token) {
      const data = Uint8Array.from(token.dataset.hex.split(" "), (two) => parseInt(two, 16));
      let value = null;
      try { value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data); } catch { /* bytes that are not text are spelled out */ }
      type("word", value !== null && typable(value) ? value : spelled(data));
    }
    const zoom = target.closest("[data-zoom]");
    if (zoom) {
      const side = zoom.closest(".kv-map").dataset.side;
      const way = zoom.dataset.zoom;
      if (way === "in" || way === "out") plots[side].zoom(way === "in" ? 1.6 : 1 / 1.6);
      else SIDES.forEach((one) => (way === "family" ? plots[one].fit(relatives(one)) : plots[one].look({ x: 0.5, y: 0.5, z: shown.fresh ? 0.85 : 1 })));
    }
    const only = target.closest("[data-only]");
    if (only) {
      shown.only = shown.only === Number(only.dataset.only) ? null : Number(only.dataset.only);
      pick();
    }
    if (target.closest("[data-lasso]")) lasso(!lassoing);
    if (target.closest(".kv-map-export")) exported();
    if (target.closest(".kv-map-clear")) {
      shown.lasso = null;
      shown.only = null;
      pick();
    }
    if (target.closest(".kv-map-back")) anew(null);
  });
  document.addEventListener("change", (event) => {
    if (!started) return;
    if (event.target.id === "kv-map-colour") {
      shown.colour = event.target.value;
      shown.only = null;
      pick();
    }
    const side = event.target.closest?.("[id^='kv-map-space-']")?.id.slice("kv-map-space-".length);
    if (side) setTimeout(() => load(side), 0);
  });
  document.addEventListener("input", (event) => { if (event.target.closest?.("#kv-map-words, #kv-map-word")) remember(); });

  const open = async () => {
    if (started) return;
    started = true;
    const query = new URLSearchParams(location.search);
    const there = await wait(() => SIDES.every((side) => frame(side)?.clientWidth > 0 && chosen(side)) && find("near"));
    if (!there) { started = false; return; }
    for (const side of SIDES) {
      plots[side] = new window.kronvizCanvas.Plot(frame(side).querySelector(".kv-map-frame"), {
        hover: (id, event) => hover(side, id, event),
        select: (id) => select(side, id),
        aim: (id) => aim(side, id),
        moved: remember,
        drawing: () => lassoing,
        lasso: (line) => { shown.lasso = { side, line: window.kronvizGroups.thinned(line) }; lasso(false); pick(); },
        settled: () => {
          const words = maps[side]?.words;
          const names = shown.fresh || !maps[side]?.points || !words ? [] : window.kronvizGroups.named(plots[side], words);
          if (JSON.stringify(names) === JSON.stringify(plots[side].names)) return;
          plots[side].names = names;
          plots[side].drawMarks();
        },
      });
    }
    new MutationObserver(() => { if (!shown.fresh) repaint(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    hear();
    shown.answer = JSON.parse(document.querySelector("#kv-map-near [data-answer]")?.dataset.answer ?? "null");
    await Promise.all(SIDES.map((side) => load(side)));
    performance.mark("kronviz-map-ready");
    follow(query);
  };

  const save = (table) => window.kronvizMapSave.save(table, "kronviz-distances.csv", "text/csv");
  window.kronvizMap = { open, save, plots, maps, shown, frame, place, text, hex, bytes };
}
