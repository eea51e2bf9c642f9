// Save the maps: both as one picture, PNG or SVG, and their marks as a table.
() => {
  if (window.kronvizMapSave) return;
  const SIDES = ["left", "right"];
  const save = (content, name, kind) => {
    const link = document.createElement("a");
    link.href = content instanceof Blob ? URL.createObjectURL(content) : URL.createObjectURL(new Blob([content], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const escaped = (value) => String(value).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "paint-order", "font-family", "font-size", "font-weight"];
  const marksOf = (plot) => {
    const copy = plot.svg.cloneNode(true);
    const [from, to] = [plot.svg, copy].map((svg) => [...svg.children]);
    from.forEach((node, index) => {
      const style = getComputedStyle(node);
      to[index].setAttribute("style", STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";").replace(/"/g, "'"));
    });
    return copy.innerHTML;
  };
  const pointsOf = (plot) => {
    const groups = new Map();
    for (let i = 0; i < plot.count; i += 1) {
      const [left, top] = plot.toScreen(plot.places[2 * i], plot.places[2 * i + 1]);
      if (left < 0 || top < 0 || left > plot.width || top > plot.height) continue;
      const ink = plot.colours.subarray(4 * i, 4 * i + 4).join();
      if (!groups.has(ink)) groups.set(ink, []);
      groups.get(ink).push(`M${left.toFixed(1)} ${top.toFixed(1)}h0`);
    }
    return [...groups].map(([ink, paths]) => {
      const [r, g, b, a] = ink.split(",");
      return `<path d="${paths.join("")}" stroke="rgb(${r},${g},${b})" stroke-opacity="${(a / 255).toFixed(2)}" stroke-width="${plot.size.toFixed(2)}" stroke-linecap="round" fill="none"/>`;
    }).join("");
  };
  const drawing = (points) => {
    const { plots, maps, frame } = window.kronvizMap;
    const style = getComputedStyle(frame("left").querySelector(".kv-map-frame"));
    const ink = getComputedStyle(frame("left")).color;
    const gap = 16;
    let left = gap;
    const parts = SIDES.map((side) => {
      const plot = plots[side];
      const title = `${frame(side).dataset.arm}, ${maps[side]?.about?.title ?? ""}`;
      const part = `<g transform="translate(${left} 40)"><text x="0" y="-12" fill="${ink}" font-family="sans-serif" font-size="14">${escaped(title)}</text>`
        + `<svg width="${plot.width}" height="${plot.height}"><rect width="100%" height="100%" fill="${style.backgroundColor}"/>${points(plot, left)}${marksOf(plot)}</svg></g>`;
      left += plot.width + gap;
      return part;
    });
    const height = plots.left.height + 56;
    const paper = getComputedStyle(document.body).backgroundColor;
    return { width: left, height, svg: `<svg xmlns="${"http://www.w3.org/2000/svg"}" width="${left}" height="${height}"><rect width="100%" height="100%" fill="${paper}"/>${parts.join("")}</svg>` };
  };
  const savePicture = async (kind) => {
    const { plots } = window.kronvizMap;
    if (kind === "svg") return save(drawing(pointsOf).svg, "kronviz-map.svg", "image/svg+xml");
    const pictures = SIDES.map((side) => {
      const plot = plots[side];
      const before = plot.ratio;
      plot.resize(2);
      plot.draw();
      const data = plot.canvas.toDataURL("image/png");
      plot.resize(before);
      return data;
    });
    const { svg, width, height } = drawing((plot) => `<image href="${pictures[plot === plots.left ? 0 : 1]}" width="${plot.width}" height="${plot.height}"/>`);
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = 2 * width;
    canvas.height = 2 * height;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(image.src);
    canvas.toBlob((blob) => save(blob, "kronviz-map.png"));
    return undefined;
  };
  const saveTable = () => {
    const { maps, shown, place, text, hex, bytes } = window.kronvizMap;
    const cell = (value) => { const inert = /^[=+\-@\t\r]/.test(value) && typeof value === "string" ? `'${value}` : String(value ?? ""); return /[",\n\r]/.test(inert) ? `"${inert.replace(/"/g, '""')}"` : inert; };
    const rows = [["list", "space", "id", "text", "bytes", "relation", "cosine", "x", "y"]];
    SIDES.forEach((side, number) => {
      const map = maps[side];
      const answer = shown.answer?.sides[number];
      const row = (list, id, relation, cosine) => {
        const at = place(side, id).map((value) => value.toFixed(5));
        rows.push([list, map.about.space, map.words.arrays.ids?.[id] ?? id, text(map.words, id) ?? "", hex(bytes(map.words, id)), relation, cosine, ...at]);
      };
      if (map?.points && answer && !shown.fresh) {
        answer.near.forEach(([id, cosine, relation]) => row("nearest", id, relation, cosine));
        answer.family.forEach(([id, relation]) => row("family", id, relation, ""));
      }
      const own = (shown.fresh ?? shown.placed)?.sides[number];
      own?.points.forEach((at, index) => rows.push(["own", own.space, "", (shown.fresh ?? shown.placed).words[index], "", own.basis[index], "", ...(at ?? ["", ""])]));
    });
    save(rows.map((row) => row.map(cell).join(",")).join("\r\n"), "kronviz-map.csv", "text/csv");
  };

  document.addEventListener("click", (event) => {
    const kind = event.target.closest?.("#kv-map-save [data-save]")?.dataset.save;
    if (!kind || !window.kronvizMap.plots.left) return;
    if (kind === "csv") saveTable();
    else savePicture(kind);
  });

  window.kronvizMapSave = { save };
}
