// The picture on the first screen: the bytes of the word at the cursor, their cells, and the models'
// vectors for it, in both texts. It makes no requests.
() => {
  if (window.kronvizPicture) return;
  window.kronvizPicture = true;
  const SVG = "http://www.w3.org/2000/svg";
  const WIDEST = 26, CELLS = 54, BARS = 24, GAP = 8; // heights are the same for every word, so that nothing moves
  const part = (name, attributes = {}, ...children) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const tag = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };
  const chips = (side) => [...(document.querySelectorAll("#kv-answer .kv-chips")[side]?.children ?? [])];
  const bytesOf = (chip) => chip.dataset.hex.split(" ").map((hex) => Number.parseInt(hex, 16));
  const sign = (byte) =>
    byte === 32 ? "␣" : byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte.toString(16).padStart(2, "0");

  const result = () => document.querySelector("#kv-answer .kv-result[data-words]");
  const read = () => {
    const shown = result();
    return shown && { words: JSON.parse(shown.dataset.words), vectors: JSON.parse(shown.dataset.vectors) };
  };

  // One text: a block for each token of the word, with its bytes, cells and vectors below each other.
  const side = (tokens, rows, other, vectors, name, room) => {
    const arms = Object.keys(vectors);
    const count = tokens.reduce((sum, { bytes }) => sum + Math.max(bytes.length, 4), 0);
    const COLUMN = Math.min(WIDEST, (room - GAP * (tokens.length - 1)) / count);
    const blocks = tokens.map((token) => ({ ...token, width: Math.max(token.bytes.length, 4) * COLUMN }));
    const total = blocks.reduce((sum, block) => sum + block.width + GAP, -GAP);
    const ROW = Math.min(9, CELLS / rows.length);
    const letters = 18, grid = letters + CELLS + 4;
    const height = grid + arms.length * (BARS + 4) + 2;
    const svg = part("svg", { viewBox: `0 0 ${total} ${height}`, width: total, height, role: "img" });
    const spoken = blocks.map(({ bytes, id }) => `token ${id}: ${bytes.map(sign).join("")}`).join(", ");
    svg.setAttribute("aria-label", `${name}: ${spoken}`);
    let left = 0;
    blocks.forEach((block, place) => {
      const group = part("g", { transform: `translate(${left} 0)` });
      block.bytes.forEach((byte, position) => {
        const text = sign(byte);
        const [name, size] = text.length > 1 ? ["kv-now-hex", Math.min(9, COLUMN * 0.75)] : ["kv-now-letter", Math.min(14, COLUMN * 1.5)];
        group.append(part("text", { x: position * COLUMN + COLUMN / 2, y: 13, class: name, style: `font-size: ${size}px` }, text));
      });
      for (const [index] of rows.entries()) {
        group.append(part("line", { x1: 0, x2: block.bytes.length * COLUMN, y1: letters + index * ROW + ROW / 2, y2: letters + index * ROW + ROW / 2, class: "kv-now-rule" }));
      }
      const theirs = other[place]?.bytes ?? [];
      block.bytes.forEach((byte, position) => {
        const shared = theirs[position] === byte;
        group.append(part("rect", {
          x: position * COLUMN + 1.5, y: letters + rows.indexOf(byte) * ROW + 0.5, width: COLUMN - 3, height: ROW - 1, rx: 1.5,
          class: shared ? "kv-now-cell" : "kv-now-cell kv-now-differs",
        }, part("title", {}, `byte ${byte.toString(16).padStart(2, "0")}, position ${position + 1}${shared ? ", the same in the other text" : ""}`)));
      });
      arms.forEach((arm, index) => {
        const digits = vectors[arm][block.id] ?? "";
        const numbers = digits.match(/../g)?.map((pair) => (Number.parseInt(pair, 16) - 128) / 127) ?? [];
        const middle = grid + index * (BARS + 4) + BARS / 2;
        const step = (block.width - 2) / numbers.length;
        group.append(part("line", { x1: 0, x2: block.width - 2, y1: middle, y2: middle, class: "kv-now-axis" }));
        const path = numbers.map((value, at) => `M${(at * step).toFixed(1)} ${middle}v${(-value * BARS / 2).toFixed(1)}h${Math.max(step - 0.8, 0.8).toFixed(1)}V${middle}z`).join("");
        group.append(part("path", { d: path, class: "kv-now-bars", "data-arm": arm }));
      });
      svg.append(group);
      left += block.width + GAP;
    });
    return svg;
  };

  // An element, so that numbers.js rewrites it even if it runs later.
  const number = (value) => {
    const made = tag("data", "", window.kronvizNumbers?.format(value, 2) ?? value.toFixed(2));
    made.value = String(value);
    made.dataset.digits = "2";
    return made;
  };
  const arm = (name) => { const made = tag("b", "kv-arm-name", name); made.dataset.arm = name; return made; };
  let chosen = null;
  let drawnFor = "";
  const draw = () => {
    const place = document.querySelector(".kv-now");
    const data = read();
    if (!place) return;
    place.classList.toggle("kv-now-empty", !data?.words.length);
    if (!data?.words.length) { drawnFor = ""; return; }
    if (!place.clientWidth) return;  // The view is hidden; it is drawn when it opens.
    const { words, vectors } = data;
    const index = chosen !== null && chosen < words.length ? chosen : Math.max(0, words.findIndex((word) => word[2]));
    const sign_ = `${index}${result().dataset.words}${result().dataset.seq}`;
    if (sign_ === drawnFor && place.querySelector("svg")) return;
    drawnFor = sign_;
    const [clean, typo, differs, alike] = words[index];
    const tokens = [clean, typo].map((span, which) =>
      (span ? chips(which).slice(span[0], Math.min(span[1], span[0] + 4)) : []).map((chip) => ({ id: chip.dataset.id, bytes: bytesOf(chip).slice(0, 16) })));
    const rows = [...new Set(tokens.flat().flatMap(({ bytes }) => bytes))].sort((a, b) => a - b);
    const title = place.querySelector(".kv-now-title");
    const cosines = Object.entries(alike ?? {});
    title.replaceChildren();
    if (!differs) title.append("Spelled the same in both texts: the same vectors.");
    else if (!cosines.length) title.append("This word is in one text only.");
    else {
      title.append("Cosine of the first tokens: ");
      cosines.forEach(([name, value], at) => title.append(at ? ", " : "", arm(name), " ", number(value)));
    }
    const sums = JSON.parse(place.dataset.sums);
    const names = tag("div", "kv-now-names");
    names.append(tag("span", "", "bytes"), tag("span", "", "cells"));
    for (const name of Object.keys(vectors)) {
      const line = tag("span", "kv-now-arm", arm(name), tag("span", "kv-now-way", ` ${sums[name] ?? ""}`));
      names.append(line);
    }
    const sides = place.querySelector(".kv-now-sides");
    const longest = Math.max(...Object.keys(vectors).map((name) => name.length));
    const lead = matchMedia("(max-width: 760px)").matches ? Math.max(44, 7 * longest + 8) : 200;
    sides.style.setProperty("--lead", `${lead}px`);
    const room = (sides.clientWidth - lead) / 2 - 16;
    const drawn = ["Clean", "Misspelled"].map((name, which) => {
      const holder = tag("div", "kv-now-side");
      holder.append(tag("span", "kv-hidden", name));
      if (tokens[which].length) holder.append(side(tokens[which], rows, tokens[1 - which], vectors, name, room));
      else holder.append(tag("span", "kv-quiet", "not in this text"));
      return holder;
    });
    sides.replaceChildren(names, ...drawn);
  };

  // The word at a place in a text field: the place in bytes, the token there, its word.
  const wordAt = (which, area) => {
    const data = read();
    if (!data) return null;
    const at = new TextEncoder().encode(area.value.slice(0, area.selectionStart)).length;
    let end = 0, token = 0;
    for (const [index, chip] of chips(which).entries()) {
      end += bytesOf(chip).length;
      token = index;
      if (end >= at) break;
    }
    const index = data.words.findIndex((word) => word[which] && word[which][0] <= token && token < word[which][1]);
    return index < 0 ? null : index;
  };
  const fields = ["#kv-clean textarea", "#kv-typo textarea"];
  const follow = () => {
    const which = fields.findIndex((name) => document.activeElement?.matches?.(name));
    if (which >= 0) { chosen = wordAt(which, document.activeElement); draw(); }
  };
  document.addEventListener("selectionchange", follow);
  for (const name of ["keyup", "click"]) document.addEventListener(name, follow);
  for (const name of ["mouseover", "focusin"]) {
    document.addEventListener(name, (event) => {
      const chip = event.target.closest?.("#kv-answer .kv-chip");
      if (!chip) return;
      const which = [...document.querySelectorAll("#kv-answer .kv-chips")].indexOf(chip.parentElement);
      const token = chips(which).indexOf(chip);
      const index = read()?.words.findIndex((word) => word[which] && word[which][0] <= token && token < word[which][1]);
      if (index >= 0) { chosen = index; draw(); }
    });
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest?.(".kv-example, #kv-misspell")) chosen = null;
  });
  let width = 0, sized = null;
  const resized = new ResizeObserver(([{ contentRect }]) => {
    if (Math.round(contentRect.width) === width) return;
    width = Math.round(contentRect.width);
    drawnFor = "";
    draw();
  });
  // For a new answer: the word at the cursor, or the first that differs.
  let watched = null;
  const watch = () => {
    const answer = document.getElementById("kv-answer");
    if (answer && answer !== watched) {
      watched = answer;
      new MutationObserver(() => { follow(); draw(); }).observe(answer, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-words"] });
    }
    const place = document.querySelector(".kv-now");
    if (place && place !== sized) {
      sized = place;
      resized.disconnect();
      resized.observe(place);
    }
    draw();
  };
  new MutationObserver(() => { if (!watched?.isConnected || document.querySelector(".kv-now-sides:empty")) watch(); }).observe(document.body, { childList: true, subtree: true });
  watch();
}
