// Save a view: a line under each result saves its picture as PNG or SVG and its tables as CSV. The
// files are made here from what the page shows; only the page's fonts are requested, because a
// picture must contain them.
() => {
  if (window.kronvizShare) return;
  const PICTURES = "table, [role='table'], [role='img'], figure svg, .kv-sheet, .kv-strips";
  const TABLES = "table, [role='table']";
  const MARGIN = 16;
  const SCALE = 2;

  // ---- files ----
  const slug = (words) =>
    words.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 48);
  const download = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `kronviz-${name}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 4000);
  };

  // ---- tables ----
  // A cell that a spreadsheet would take for a formula is made inert; a number stays a number.
  const inert = (text) => {
    const plain = text.replace(/^([+-]?)−/, "$1-");
    if (/^[+-]?\d[\d,]*(\.\d+)?( ?(%|\p{L}{1,8}))?$/u.test(plain)) return plain;
    return /^[=+\-@\t\r]/.test(plain) ? `'${text}` : text;
  };
  const quoted = (text) => {
    const safe = inert(text);
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const read = (cell) => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll("[aria-hidden='true'], .kv-infobox, svg").forEach((part) => part.remove());
    copy.querySelectorAll("data").forEach((number) => { number.textContent = number.value; });
    copy.querySelectorAll("small").forEach((note) => { note.prepend(" ("); note.append(")"); });
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  const cells = (row) =>
    [...row.querySelectorAll("th, td, [role$='header'], [role='cell']")]
      .filter((cell) => cell.getAttribute("aria-hidden") !== "true")
      .flatMap((cell) => {
        if (cell.dataset.csv) return cell.dataset.csv.split("|");
        if (cell.matches(".kv-numbers")) return [...cell.children].map(read);
        return [read(cell), ...Array(Math.max(0, (cell.colSpan ?? 1) - 1)).fill("")];
      });
  const csv = (table) =>
    [...table.querySelectorAll("tr, [role='row']")]
      .map((row) => cells(row).map(quoted).join(","))
      .join("\r\n");
  const nameOf = (table) => {
    let words = table.dataset.name ?? table.caption?.textContent ?? table.getAttribute("aria-label");
    for (let at = table.parentElement; !words && at && !at.matches(".block"); at = at.parentElement) {
      words = at.querySelector("h2, h3, h4, figcaption")?.textContent;
    }
    return (words ?? "").split(":")[0].trim();
  };

  // ---- pictures ----
  const base64 = (buffer) => {
    let text = "";
    for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
    return btoa(text);
  };
  let sheet;
  // The page's style sheet as written, with its fonts inlined. Rules read back from a browser would
  // lose shorthands that contain custom properties.
  const styles = () => {
    sheet ??= (async () => {
      const link = [...document.querySelectorAll("link[rel='stylesheet']")]
        .find((one) => new URL(one.href).pathname.endsWith("/theme.css"));
      let text = await fetch(link.href).then((answer) => answer.text());
      for (const [written, address] of text.matchAll(/url\('([^']+\.woff2)'\)/g)) {
        if (!written.includes("IBMPlex") || !text.includes(written)) continue;
        const font = await fetch(new URL(address, link.href)).then((answer) => answer.arrayBuffer(), () => null);
        if (font) text = text.replaceAll(written, `url(data:font/woff2;base64,${base64(font)})`);
      }
      return text;
    })();
    return sheet;
  };
  // A block with the page's styles as one self-contained SVG.
  const drawn = async (block) => {
    const content = block.querySelector(".html-container") ?? block;
    const width = Math.ceil(content.scrollWidth);
    const height = Math.ceil(content.scrollHeight);
    let inner = content.cloneNode(true);
    inner.querySelectorAll(".kv-infobox, .kv-save").forEach((part) => part.remove());
    inner.style.width = `${width}px`;
    for (let at = content.parentElement; at && at !== document.documentElement; at = at.parentElement) {
      const shell = document.createElement("div");
      shell.className = at.className;
      shell.id = at.id;
      if (at.matches(".gradio-container")) {
        shell.style.cssText = `width: ${width}px; max-width: none !important; min-height: 0; margin: ${MARGIN}px !important; padding: 0 !important; overflow: visible`;
      } else shell.style.cssText = "display: contents";
      shell.append(inner);
      inner = shell;
    }
    const paper = getComputedStyle(document.body).backgroundColor;
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const outer = [width + 2 * MARGIN, height + 2 * MARGIN];
    svg.setAttribute("width", outer[0]);
    svg.setAttribute("height", outer[1]);
    svg.setAttribute("viewBox", `0 0 ${outer.join(" ")}`);
    const ground = document.createElementNS(space, "rect");
    ground.setAttribute("width", "100%");
    ground.setAttribute("height", "100%");
    ground.setAttribute("fill", paper);
    const style = document.createElementNS(space, "style");
    style.textContent = `*, ::before, ::after { box-sizing: border-box; border: 0 solid; }\n${await styles()}`;
    const frame = document.createElementNS(space, "foreignObject");
    frame.setAttribute("width", "100%");
    frame.setAttribute("height", "100%");
    frame.append(inner);
    svg.append(style, ground, frame);
    return { text: new XMLSerializer().serializeToString(svg), size: outer };
  };
  const painted = async ({ text, size }) => {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = size.map((length) => length * SCALE);
    const context = canvas.getContext("2d");
    context.scale(SCALE, SCALE);
    context.drawImage(image, 0, 0);
    return new Promise((done) => { canvas.toBlob(done, "image/png"); });
  };
  // Figures have the light colours, which the style sheet repaints on a dark page; a picture has no
  // style sheet, so its colours are replaced.
  const darkened = (part) => {
    if (typeof part === "string") return part.replace(/#[0-9a-f]{6}\b/gi, (colour) => window.kronvizDark[colour.toUpperCase()] ?? colour);
    if (Array.isArray(part)) return part.map(darkened);
    if (part?.constructor !== Object) return part;
    return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, darkened(value)]));
  };
  const plotted = async (plot, format) => {
    const { width, height } = plot.getBoundingClientRect();
    const paint = document.querySelector(".dark") ? darkened : (part) => part;
    const layout = { ...plot.layout, paper_bgcolor: "#F7F6F2", autosize: false };
    const size = [Math.ceil(Math.max(320, width)), Math.ceil(Math.max(200, height))];
    const address = await window.Plotly.toImage(
      paint({ data: plot.data, layout }), { format: "svg", width: size[0], height: size[1] },
    );
    // An image cannot use the page's fonts, so the figure contains the ones it needs.
    const fonts = (await styles()).match(/@font-face\s*{[^}]*IBM Plex[^}]*}/g)?.join("\n") ?? "";
    const text = decodeURIComponent(address.slice(address.indexOf(",") + 1))
      .replace(/<svg[^>]*>/, (opening) => `${opening}<style>${fonts}</style>`);
    return format === "png" ? painted({ text, size }) : new Blob([text], { type: "image/svg+xml" });
  };
  const picture = async (block, format) => {
    const plot = block.querySelector(".js-plotly-plot");
    if (plot) return plotted(plot, format);
    const made = await drawn(block);
    return format === "png" ? painted(made) : new Blob([made.text], { type: "image/svg+xml" });
  };

  // ---- the line under a result ----
  const title = (block) => {
    const label = block.querySelector("[data-testid='block-label']");
    const named = block.querySelector("[data-title]:not(.modebar-btn)")?.dataset.title;
    const words = named ?? (label ?? block.querySelector("h2, h3, caption"))?.textContent;
    return words?.trim().split(":")[0].slice(0, 60) || "picture";
  };
  const button = (words, spoken, press) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = words;
    made.setAttribute("aria-label", spoken);
    made.addEventListener("click", async () => {
      made.disabled = true;
      try { await press(); }
      catch { made.textContent = `${words} failed`; }
      made.disabled = false;
      made.focus({ preventScroll: true });
    });
    return made;
  };
  const line = (block, tables, lead) => {
    const made = document.createElement("div");
    made.className = "kv-save";
    const word = document.createElement("span");
    word.textContent = lead;
    made.append(word);
    const tab = block.closest(".tabitem")?.id.replace("kv-tab-", "") ?? "page";
    for (const format of ["png", "svg"]) {
      made.append(button(format.toUpperCase(), `Save “${title(block)}” as ${format.toUpperCase()}`, async () => {
        download(await picture(block, format), `${tab}-${slug(title(block))}.${format}`);
      }));
    }
    tables.forEach((table, index) => {
      const name = nameOf(table) || `table ${index + 1}`;
      const words = tables.length > 1 ? `CSV: ${name.length > 28 ? `${name.slice(0, 27)}…` : name}` : "CSV";
      made.append(button(words, `Save the table “${name}” as CSV`, async () => {
        // The current table: an answer may have replaced the earlier one.
        const now = [...block.querySelectorAll(TABLES)][index];
        if (now) download(new Blob([`\ufeff${csv(now)}\r\n`], { type: "text/csv" }), `${tab}-${slug(name)}.csv`);
      }));
    });
    return made;
  };
  const settle = () => {
    for (const block of document.querySelectorAll(".tabitem .block")) {
      if (block.querySelector(".block, [data-saves], [data-save], canvas, .file-preview")) continue; // it has its own way to save
      const plot = block.querySelector(".js-plotly-plot");
      const made = block.querySelector(":scope > .kv-save");
      if (plot ? !plot.data?.length : !block.querySelector(PICTURES)) {
        made?.remove();
        continue;
      }
      const own = block.querySelector(".kv-downloads"); // its own files
      const tables = plot || own ? [] : [...block.querySelectorAll(TABLES)];
      const sign = tables.map(nameOf).join("|");
      if (made?.dataset.sign === sign) continue;
      const fresh = line(block, tables, own ? "Save the picture as" : "Save");
      fresh.dataset.sign = sign;
      made?.remove();
      block.append(fresh);
    }
  };
  let due = 0;
  new MutationObserver(() => {
    if (!due) due = requestAnimationFrame(() => { due = 0; settle(); });
  }).observe(document.body, { childList: true, subtree: true });
  settle();

  document.addEventListener("click", (event) => {
    const copy = event.target.closest?.(".kv-copy-text");
    const words = copy && document.querySelector(copy.dataset.copies)?.textContent;
    if (!words) return;
    const said = copy.textContent;
    navigator.clipboard?.writeText(words).then(() => {
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = said; }, 1600);
    }, () => {});
  });

  window.kronvizShare = { csv, picture };
}
