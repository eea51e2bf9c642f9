// Navigation between views: the bar at the head of the page, the address, back and forward, arrow
// keys. Gradio's own bar is hidden; a view is opened by a click on one of its tabs.
() => {
  if (window.kronvizViews) return;
  const bar = () => document.querySelector(".kv-bar-of-views");
  const own = (name) => document.getElementById(`kv-tab-${name}-button`);
  const groups = () => bar().dataset.groups.split(" ").map((names) => names.split(","));
  const first = () => groups()[0][0];
  const known = (name) => {
    const moved = Object.fromEntries(bar().dataset.moved.split(" ").filter(Boolean).map((pair) => pair.split("=")));
    const wanted = moved[name] ?? name;
    return own(wanted) ? wanted : null;
  };
  const lately = new Map(); // the last open view of each group, by the group's first view
  let current = "";
  let settings = location.search; // the query before back or forward, which keeps its settings

  const mark = (name) => {
    current = name;
    document.documentElement.dataset.view = name;
    const group = groups().find((names) => names.includes(name));
    if (group) lately.set(group[0], name);
    for (const tab of bar().querySelectorAll('.kv-groups [role="tab"]')) {
      const here = group?.[0] === tab.dataset.view;
      tab.setAttribute("aria-selected", here);
      tab.tabIndex = here || (!group && tab.dataset.view === first()) ? 0 : -1;
    }
    for (const list of bar().querySelectorAll(".kv-views")) {
      const tabs = [...list.querySelectorAll('[role="tab"]')];
      list.hidden = !tabs.some((tab) => tab.dataset.view === name);
      for (const tab of tabs) {
        tab.setAttribute("aria-selected", tab.dataset.view === name);
        tab.tabIndex = tab.dataset.view === name ? 0 : -1;
      }
    }
    for (const link of document.querySelectorAll("[data-opens]")) {
      if (link.dataset.opens === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  };

  const addressed = (name, search) => {
    const url = new URL(location.href);
    if (search !== undefined) url.search = search;
    if (name === first()) url.searchParams.delete("tab");
    else url.searchParams.set("tab", name);
    return url;
  };
  let quiet = false;
  const open = (name) => {
    const view = known(name);
    if (!view) return false;
    own(view).click();
    return true;
  };

  document.addEventListener("click", (event) => {
    const pressed = event.target.closest?.('[role="tab"][data-tab-id]');
    const name = pressed?.id.replace(/^kv-tab-|-button$/g, "");
    if (name && own(name) === pressed && name !== current) {
      if (!quiet) history.pushState(history.state, "", addressed(name));
      mark(name);
    }
    const link = event.target.closest?.(".kv-bar-of-views [data-view], [data-opens]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    // The note on ignored parts of a link stays until another view is chosen.
    const ignored = document.getElementById("kv-ignored");
    if (ignored) ignored.style.display = "none";
    const wanted = link.dataset.view ?? link.dataset.opens;
    const isGroup = link.closest(".kv-groups");
    open((isGroup && lately.get(wanted)) || wanted);
    if (link.dataset.opens && !link.closest(".kv-masthead")) {
      bar().querySelector(`[data-view="${wanted}"]`)?.focus({ preventScroll: true });
      bar().scrollIntoView({ block: "nearest" });
      scrollTo({ top: 0 });
    }
  });

  // Arrow keys move along the tabs and open each one.
  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.('.kv-bar-of-views [role="tab"]');
    if (!tab) return;
    if (event.key === " ") {
      event.preventDefault();
      tab.click();
    }
    const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')];
    const at = tabs.indexOf(tab);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const chosen = tabs[(next + tabs.length) % tabs.length];
    chosen.click();
    chosen.focus();
  });

  addEventListener("popstate", () => {
    const before = settings;
    quiet = true;
    const view = known(new URLSearchParams(location.search).get("tab")) ?? first();
    open(view);
    quiet = false;
    // Settings on the page stay as they are, and so do their entries in the address.
    history.replaceState(history.state, "", addressed(view, before));
    settings = location.search;
  });

  // An address short enough for servers and chat programs: the longest entries are left out, together
  // with those that make no sense without them.
  const LINK_LIMIT = 6000;
  const TOGETHER = [["clean", "typo", "answer"], ["prompt", "misspelled"]];
  let shortened = false;
  const fitted = (url) => {
    shortened = url.search.length > LINK_LIMIT;
    while (url.search.length > LINK_LIMIT) {
      const [[longest]] = [...url.searchParams].sort((a, b) => b[1].length - a[1].length);
      const names = TOGETHER.find((group) => group.includes(longest)) ?? [longest];
      names.forEach((name) => url.searchParams.delete(name));
    }
    return url;
  };
  // All writers of the address call this. It alone writes the open view, because another view may be
  // open by the time a writer calls.
  const replace = (url) => {
    if (current === first()) url.searchParams.delete("tab");
    else if (current) url.searchParams.set("tab", current);
    history.replaceState(history.state, "", fitted(url));
    settings = location.search;
  };

  let started = false;
  const start = () => {
    if (started || !bar() || !own(first())) return started;
    started = true;
    quiet = true;
    mark(first());
    const wanted = known(new URLSearchParams(location.search).get("tab"));
    if (wanted && wanted !== first()) open(wanted);
    quiet = false;
    return true;
  };
  let tries = 0;
  const begin = () => {
    if (!start() && (tries += 1) < 400) setTimeout(begin, 25);
  };
  begin();
  window.kronvizViews = { open, replace, start, current: () => current, shortened: () => shortened };
}
