// The page's content until the app has loaded: in the system's colours, only if the link opens this
// view, and removed once the app's own picture is drawn.
() => {
  const first = document.getElementById("kv-first");
  if (!first) return;
  const query = new URLSearchParams(location.search);
  const theme = query.get("__theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.body.classList.toggle("dark", theme === "dark");
  // A link to another view: only the head of the page fits it.
  const other = [...query.keys()].some((name) => name !== "__theme");
  if (other) first.querySelectorAll(".kv-masthead ~ *").forEach((part) => part.remove());
  const own = () => document.querySelector(`gradio-app :is(${other ? ".kv-result" : ".kv-now-sides svg"}, .kv-empty)`);
  const leave = () => { if (own()) { first.remove(); watching.disconnect(); } };
  const watching = new MutationObserver(leave);
  watching.observe(document.body, { childList: true, subtree: true });
  leave();
}
