// Numbers the reader's way: what the server marked as a number is written in the browser's locale.
() => {
  if (window.kronvizNumbers) return;
  window.kronvizNumbers = true;
  const locale = navigator.languages?.length ? navigator.languages : undefined;
  if (new Intl.NumberFormat(locale).format(-1234.5) === "-1,234.5") return; // as the server writes
  const forms = new Map();
  const form = ({ digits, percent, sign }) => {
    const key = `${digits} ${percent} ${sign}`;
    if (!forms.has(key)) {
      forms.set(key, new Intl.NumberFormat(locale, {
        minimumFractionDigits: Number(digits),
        maximumFractionDigits: Number(digits),
        style: percent === undefined ? "decimal" : "percent",
        signDisplay: sign === undefined ? "auto" : "always",
      }));
    }
    return forms.get(key);
  };
  const rewrite = () => {
    for (const number of document.querySelectorAll("data[data-digits]")) {
      const words = form(number.dataset).format(Number(number.value)).replace("-", "−");
      if (number.textContent !== words) number.textContent = words;
    }
  };
  new MutationObserver(rewrite).observe(document.body, {
    childList: true, subtree: true, characterData: true,
  });
  rewrite();
}
