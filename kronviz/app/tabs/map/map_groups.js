// Groups on the map: names for places whose tokens share something, and a selection by lasso or by
// colour, which is listed, saved and kept in the link. Tokens are numbers here; it makes no requests.
() => {
  if (window.kronvizGroups) return;
  const ENDINGS = ["tion", "ness", "ment", "able", "ing", "ers", "est", "ed", "ly", "er", "al", "es", "s"];
  const CELL = 120; // size in pixels of a place that can have a name
  const LEAST = 12, SHARE = 0.6, LIFT = 1.5;
  const prepared = new WeakMap();

  // The features of each token, and how frequent each feature is over all tokens.
  const features = (words) => {
    if (prepared.has(words)) return prepared.get(words);
    const { arrays, about } = words;
    const names = [];
    const known = new Map();
    const of = (name) => {
      if (!known.has(name)) { known.set(name, names.length); names.push(name); }
      return known.get(name);
    };
    const decoder = new TextDecoder();
    const lists = Array.from(arrays.lengths, (length, id) => {
      const script = about.scripts[arrays.script[id]];
      const space = arrays.space[id];
      const own = [];
      const add = (name) => own.push(of(name));
      if (script === "no text") { add("parts of characters"); return own; }
      const text = decoder.decode(arrays.bytes.subarray(words.starts[id], words.starts[id + 1]));
      const core = text.trim();
      if (script !== "Latin") { add({ signs: "punctuation", digits: "digits" }[script] ?? script); return own; }
      const cased = about.cases[arrays.case[id]];
      if (cased === "UPPER") add("UPPER CASE");
      else if (cased === "Capital") add(space ? "␣Capitalized" : "Capitalized");
      else if (cased === "mIxed") add("mixed case");
      else add(space ? "␣words" : "word parts");
      if (core.length > 3) {
        const ending = ENDINGS.find((end) => core.length >= end.length + 2 && core.toLowerCase().endsWith(end));
        if (ending) add(`…${ending}`);
      }
      const first = core.slice(0, 1).toLowerCase();
      if (/[a-z]/.test(first)) {
        add(`${space ? "␣" : ""}${first}…`);
        if (core.length > 2) add(`${space ? "␣" : ""}${core.slice(0, 2).toLowerCase()}…`);
      }
      add(`${arrays.lengths[id]} bytes`);
      return own;
    });
    const total = new Float64Array(names.length);
    for (const own of lists) for (const feature of own) total[feature] += 1;
    const made = { names, lists, share: total.map((count) => count / lists.length) };
    prepared.set(words, made);
    return made;
  };

  // Names for the visible part: a place is named after what most of its tokens and few others share.
  const named = (plot, words) => {
    const { names, lists, share } = features(words);
    if (lists.length !== plot.count || !plot.width) return [];
    const columns = Math.max(1, Math.round(plot.width / CELL)), rows = Math.max(1, Math.round(plot.height / CELL));
    const cells = Array.from({ length: columns * rows }, () => ({ count: 0, x: 0, y: 0, seen: new Map() }));
    for (let id = 0; id < plot.count; id += 1) {
      const [left, top] = plot.toScreen(plot.places[2 * id], plot.places[2 * id + 1]);
      if (left < 0 || top < 0 || left >= plot.width || top >= plot.height) continue;
      const cell = cells[Math.floor((top / plot.height) * rows) * columns + Math.floor((left / plot.width) * columns)];
      cell.count += 1;
      cell.x += plot.places[2 * id];
      cell.y += plot.places[2 * id + 1];
      for (const feature of lists[id]) cell.seen.set(feature, (cell.seen.get(feature) ?? 0) + 1);
    }
    for (const cell of cells) {
      let best = 0;
      for (const [feature, count] of cell.seen) {
        const part = count / cell.count;
        const worth = part * Math.log(part / share[feature]);
        if (cell.count >= LEAST && part >= SHARE && part / share[feature] >= LIFT && worth > best) {
          best = worth;
          cell.name = names[feature];
        }
      }
    }
    // Neighboring places with the same name are one group.
    const groups = [];
    const visited = new Set();
    cells.forEach((cell, start) => {
      if (!cell.name || visited.has(start)) return;
      const group = { name: cell.name, count: 0, x: 0, y: 0 };
      const open = [start];
      visited.add(start);
      while (open.length) {
        const at = open.pop();
        group.count += cells[at].count;
        group.x += cells[at].x;
        group.y += cells[at].y;
        const [row, column] = [Math.floor(at / columns), at % columns];
        for (const [r, c] of [[row - 1, column], [row + 1, column], [row, column - 1], [row, column + 1]]) {
          const next = r * columns + c;
          if (r < 0 || c < 0 || r >= rows || c >= columns || visited.has(next) || cells[next].name !== cell.name) continue;
          visited.add(next);
          open.push(next);
        }
      }
      groups.push({ text: group.name, at: [group.x / group.count, group.y / group.count], count: group.count });
    });
    return groups.sort((a, b) => b.count - a.count).slice(0, 24);
  };

  // The points inside a closed line, both in coordinates from 0 to 1.
  const inside = (line, places) => {
    const enclosed = [];
    for (let id = 0; id < places.length / 2; id += 1) {
      const [x, y] = [places[2 * id], places[2 * id + 1]];
      let odd = false;
      for (let a = 0, b = line.length - 1; a < line.length; b = a, a += 1) {
        const [[x1, y1], [x2, y2]] = [line[a], line[b]];
        if ((y1 > y) !== (y2 > y) && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) odd = !odd;
      }
      if (odd) enclosed.push(id);
    }
    return enclosed;
  };
  // The line with few enough corners for a link.
  const thinned = (line, most = 40) => {
    const step = Math.max(1, Math.ceil(line.length / most));
    return line.filter((_, at) => at % step === 0);
  };
  const written = (side, line) => `${side}:${line.map((at) => at.map((v) => v.toFixed(3)).join(",")).join(";")}`;
  const read = (text) => {
    const [, side, corners] = /^(left|right):([-\d.,;]+)$/.exec(text ?? "") ?? [];
    const line = corners?.split(";").map((at) => at.split(",").map(Number));
    return line?.length > 2 && line.length <= 60 && line.every((at) => at.length === 2 && at.every(Number.isFinite)) ? { side, line } : null;
  };

  window.kronvizGroups = { features, named, inside, thinned, written, read };
}
