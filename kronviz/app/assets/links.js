// Links that restore a view: settings are written into the address as they change, and a run that
// was started by hand is named there. It makes no requests.
() => {
  if (window.kronvizLinks) return;
  const query = new URLSearchParams(location.search);
  const buttons = {};
  let ready = {};
  const written = (value) => (Array.isArray(value) ? value.join(",") : String(value ?? ""));
  const shown = (tab) => document.getElementById(`kv-tab-${tab}-button`)?.getAttribute("aria-selected") === "true";
  const early = {}; // by tab, the newest change before it was ready
  const set = {}; // by tab, the values that the link set
  const write = (tab, names, defaults, values) => {
    if (!ready[tab]) early[tab] = [names, defaults, values];
    if (!ready[tab] || !shown(tab)) return;
    const changes = {};
    names.forEach((name, index) => {
      const text = written(values[index]);
      changes[name] = text === defaults[index] ? "" : text;
    });
    window.kronviz.writeLink(changes);
  };
  // The page has loaded: from now on changes are made by the visitor, as are those before that are
  // not the link's.
  const settle = (tab) => setTimeout(() => {
    ready[tab] = true;
    const [names, defaults, values] = early[tab] ?? [[], [], []];
    if (values.some((value, index) => written(value) !== (set[tab] ?? defaults)[index])) write(tab, names, defaults, values);
  }, 500);
  const read = (tab, runs) => {
    for (const [name, id] of Object.entries(runs)) if (name) buttons[id] = { tab, name };
    if (query.get("tab") === tab) return location.search;
    settle(tab);
    return "";
  };
  // What a visitor changed before the link's values arrived stays as it is.
  const follow = (tab, defaults, answer, ...values) => {
    const given = JSON.parse(answer);
    const made = values.map((value, index) => (written(value) === defaults[index] ? given[index] ?? value : value));
    set[tab] = given.map((value, index) => (value === null ? defaults[index] : written(value)));
    return made.length === 1 ? made[0] : made;
  };
  // The link has been followed.
  const start = (tab, runs, left) => {
    settle(tab);
    const id = runs[query.get(`${tab}.run`)] ?? runs[""];
    if (!id) return;
    if (Object.entries(left).some(([name, value]) => query.get(name) === value)) return;
    const press = (tries) => {
      const button = document.getElementById(id);
      if (button && shown(tab)) button.click();
      else if (tries) setTimeout(() => press(tries - 1), 100);
    };
    setTimeout(() => press(60), 300);
  };
  document.addEventListener("click", (event) => {
    const pressed = buttons[event.target.closest?.("button[id]")?.id];
    if (pressed && event.isTrusted) window.kronviz.writeLink({ [`${pressed.tab}.run`]: pressed.name });
  });

  window.kronvizLinks = { write, read, follow, start };
}
