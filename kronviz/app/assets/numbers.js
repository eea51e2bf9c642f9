// Numbers in the reader's locale: rewrites what the server marked as a number, on the page, in
// accessible names and on figures.
() => {
  if (window.kronvizNumbers) return;
  const locale = navigator.languages?.length ? navigator.languages : undefined;
  const english = new Intl.NumberFormat(locale).format(-1234.5) === "-1,234.5"; // as the server writes
  const forms = new Map();
  const format = (value, digits = 0, { percent, sign } = {}) => {
    const key = `${digits} ${Boolean(sign)}`;
    if (!forms.has(key)) {
      forms.set(key, new Intl.NumberFormat(locale, {
        minimumFractionDigits: Number(digits),
        maximumFractionDigits: Number(digits),
        signDisplay: sign ? "exceptZero" : "negative",
      }));
    }
    const words = forms.get(key).format(percent ? 100 * value : value).replace("-", "−");
    return percent ? `${words}%` : words;
  };
  const written = (number) =>
    format(Number(number.getAttribute("value")), number.dataset.digits, {
      percent: number.dataset.percent !== undefined, sign: number.dataset.sign !== undefined,
    });
  // Numbers in words that the app wrote itself: a label of a choice, a figure's text.
  const WRITTEN = /(?<![\p{L}\d.,])([+−-]?)(\d{1,3}(?:,\d{3})+|\d+(?=\.\d))(?:\.(\d+))?(?![\p{L}\d]|\.\d)/gu;
  const words = (text) =>
    english ? text : text.replace(WRITTEN, (_, sign, whole, fraction = "") =>
      sign.replace("-", "−") + format(Number(`${whole.replaceAll(",", "")}.${fraction || 0}`), fraction.length));
  window.kronvizNumbers = { format, words };

  // Gradio writes the ends of a slider without separators in every locale.
  const ends = () => {
    for (const end of document.querySelectorAll(".min_value, .max_value")) {
      if (/^\d{4,}$/.test(end.textContent)) end.firstChild.data = format(Number(end.textContent));
    }
  };
  // In Plotly's form: the decimal separator, then the thousands separator; it has no other digits.
  const SEPARATORS = [1.5, 12345].map((value) =>
    new Intl.NumberFormat(locale, { numberingSystem: "latn" }).format(value).replace(/\d/g, "")).join("");
  const known = new WeakMap(); // what was last written into a text, so that nothing is rewritten twice
  const each = (value) => (typeof value === "string" ? words(value) : Array.isArray(value) ? value.map(each) : value);
  // A figure's data with its texts rewritten; its axes use the two separators.
  const redraw = (plot) => {
    const data = plot.data.map((trace) => {
      const made = { ...trace };
      for (const part of ["text", "hovertemplate", "name"]) if (made[part]) made[part] = each(made[part]);
      return made;
    });
    const layout = { ...plot.layout, separators: SEPARATORS };
    if (layout.annotations) layout.annotations = layout.annotations.map((one) => ({ ...one, text: each(one.text) }));
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      if (Array.isArray(layout[name].ticktext)) layout[name] = { ...layout[name], ticktext: each(layout[name].ticktext) };
    }
    window.Plotly.react(plot, data, layout);
  };
  const rewrite = () => {
    ends();
    if (english) return;
    for (const number of document.querySelectorAll("[data-digits]")) {
      const words = written(number);
      if (number.textContent !== words) number.textContent = words;
    }
    for (const part of document.querySelectorAll("[data-said]")) {
      const said = document.createElement("template");
      said.innerHTML = part.dataset.said;
      said.content.querySelectorAll("[data-digits]").forEach((number) => { number.textContent = written(number); });
      part.setAttribute("aria-label", said.content.textContent);
      part.removeAttribute("data-said");
    }
    // Labels of choices, and Gradio's messages in the corner.
    for (const choice of document.querySelectorAll("fieldset label > span, [data-testid='toast-text']")) {
      const text = choice.firstChild;
      if (text?.nodeType !== Node.TEXT_NODE || known.get(text) === text.data) continue;
      known.set(text, words(text.data));
      text.data = known.get(text);
    }
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      if (window.Plotly && plot.data && plot._fullLayout && plot.layout.separators !== SEPARATORS) redraw(plot);
    }
  };
  new MutationObserver(rewrite).observe(document.body, {
    childList: true, subtree: true, characterData: true,
  });
  rewrite();
}
