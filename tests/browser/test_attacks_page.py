"""Strings that try to run a script, typed into every field, uploaded and sent in links: none runs.

A sample of `attacks.ATTACKS` goes through each field, each form and each kind of file, as its
content and as its name; ``KRONVIZ_ATTACKS=all`` sends every one of them through each, which takes
an hour and a half. A script that ran would set ``__ran``; one that only the page's policy stopped,
or markup that came to life without running, counts as well.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from attacks import ATTACKS
from safetensors.numpy import save

from kronviz.maps.umap_layout import main_axes

Visit = Callable[..., Any]
ALL = os.environ.get("KRONVIZ_ATTACKS") == "all"
EVERY = 1 if ALL else 300
FIELDS = (
    ("Compare", "#kv-clean textarea"),
    ("Compare", "#kv-typo textarea"),
    ("Bytes", "#kv-byte-text :is(input, textarea)"),
    ("Bytes", "#kv-byte-with :is(input, textarea)"),
    ("Map", "#kv-map-word :is(input, textarea)"),
    ("Map", "#kv-map-words textarea"),
    ("Robustness", "#kv-lab-text :is(input, textarea)"),
)
NAMES = (
    "clean", "typo", "text", "with", "prompt", "string", "pair", "tab", "positions", "edit",
    "map.word", "map.words", "map.left", "map.colour", "map.at",
    "generate.strings", "generate.prompts", "robustness.text", "robustness.pairs-sentences",
    "your-model.words", "your-model.model", "your-model.tensor", "your-model.source", "seed",
)  # fmt: skip
"""What a link can carry, of every tab that carries words."""
WATCH = """
window.__blocked = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__blocked.push(`${event.violatedDirective} ${event.sourceFile} ${event.sample}`);
});
const own = window.fetch;
window.__answers = 0;
window.fetch = async (...request) => {
  const answer = await own(...request);
  if (String(request[0].url ?? request[0]).includes("/run/")) {
    answer.clone().text().then(() => { window.__answers += 1; });
  }
  return answer;
};
"""
TYPE = """async ([selector, strings]) => {
  const pause = (time) => new Promise((done) => setTimeout(done, time));
  const box = document.querySelector(selector);
  for (const text of strings) {
    const before = window.__answers;
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    for (let turn = 0; turn < 200 && window.__answers === before; turn += 1) await pause(10);
    await pause(30);
  }
}"""
# Press a button and wait until another is no longer what pressing made of it.
PRESS = """async ([press, watch]) => {
  const [button, watched] = [press, watch].map((id) => document.getElementById(id));
  const usual = watched.disabled;
  const settled = (wanted) => new Promise((done) => {
    const look = () => { if (watched.disabled === wanted) { eye.disconnect(); done(); } };
    const eye = new MutationObserver(look);
    eye.observe(watched, { attributes: true });
    look();
  });
  const over = settled(!usual).then(() => settled(usual));
  button.click();
  await over;
  await new Promise((done) => setTimeout(done, 30));
}"""
ANSWERED = """async ([selector, text, press]) => {
  const pause = (time) => new Promise((done) => setTimeout(done, time));
  const box = document.querySelector(selector);
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  await pause(20);
  const before = window.__answers;
  document.getElementById(press).click();
  for (let turn = 0; turn < 200 && window.__answers === before; turn += 1) await pause(10);
  await pause(30);
}"""
ALIVE = """() => [...document.querySelectorAll(
  "[onload], [onerror], [onfocus], [onclick], [ontoggle], [onstart], [onanimationstart], "
  + "[src='x'], #kv-click, [href^='javascript:' i], [action^='javascript:' i], "
  + "[srcdoc], embed"
)].map((element) => element.outerHTML.slice(0, 200))"""


@pytest.fixture
def watched(stay: Visit, visit: Visit) -> Iterator[Callable[..., Any]]:
    """A page that counts what a policy blocked: the module's own, or one opened by a link.

    At the end nothing has run in it.
    """
    pages = []

    def open_page(query: str = "") -> Any:
        page = visit(query, script=WATCH) if query else stay(script=WATCH)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        if not page.is_closed():
            nothing_ran(page)


def nothing_ran(page: Any) -> None:
    page.wait_for_timeout(100)
    assert page.evaluate("window.__ran") is None
    assert page.evaluate("window.__blocked") == []
    assert page.evaluate(ALIVE) == []
    assert page.errors == []


def sample(start: int) -> list[str]:
    return list(ATTACKS[start % EVERY :: EVERY])


def some(start: int, count: int) -> list[str]:
    """Some strings, or all of them: for forms that take longer than a field."""
    return list(ATTACKS) if ALL else list(ATTACKS[start :: len(ATTACKS) // count])[:count]


def batches(texts: list[str], size: int) -> list[list[str]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def open_tab(page: Any, name: str) -> None:
    page.evaluate("name => window.kronvizViews.open(name)", name.lower().replace(" ", "-"))


def link(text: str, **named: str) -> str:
    """A link whose every name carries a text, but for those that are named."""
    return "?" + urlencode({**dict.fromkeys(NAMES, text), **named})


def upload(page: Any, part: str, name: str, data: bytes) -> None:
    """A file in the place of the one that is there, under any name at all."""
    clear = page.locator(f"{part} [aria-label='Clear'], {part} button[aria-label*='emove']")
    if clear.count():
        clear.first.click()
    field = page.locator(f"{part} input[type=file]")
    field.set_input_files({"name": name, "mimeType": "text/plain", "buffer": data})
    page.wait_for_selector(f"{part} :is(.file-preview, table)")


def test_there_are_five_hundred_of_them() -> None:
    assert len(set(ATTACKS)) >= 500


def test_typed_into_every_field_that_answers_while_one_types(watched: Any) -> None:
    page = watched()
    for number, (tab, selector) in enumerate(FIELDS):
        open_tab(page, tab)
        page.wait_for_selector(selector, state="visible")
        page.evaluate(TYPE, [selector, sample(number * 13)])


def test_misspelled_by_the_page(watched: Any) -> None:
    page = watched()
    open_tab(page, "Compare")
    for text in some(9, 2):
        page.evaluate(ANSWERED, ["#kv-clean textarea", f"a plain word {text}", "kv-misspell"])


def test_continued_and_forced_into_a_slot(watched: Any) -> None:
    page = watched()
    open_tab(page, "Generate")
    page.wait_for_selector("#kv-gen-start", state="visible")
    if not page.locator("#kv-gen-max_tokens").is_visible():
        page.click("#kv-gen-knobs > button")
    page.fill("#kv-gen-max_tokens input[type=number]", "1")
    fields = {"typo": ("prompt", "typo"), "slot": ("slotted", "string")}
    for mode, names in fields.items():
        page.click(f"#kv-gen-mode label:has(input[value={mode}])")
        for text in some(3, 2):
            for name in names:
                written = f"{text} {{}}" if name == "slotted" else text
                page.locator(f"#kv-gen-{name} :is(input, textarea)").fill(written)
            page.evaluate(PRESS, ["kv-gen-start", "kv-gen-stop"])


def pairs_file(kind: str, texts: list[str]) -> bytes:
    rows = [{"clean": f"a {text}", "typo": text, "category": text, "id": text} for text in texts]
    # One that cannot be used, so that a sentence names it.
    rows.append({"clean": "", "typo": texts[0], "category": texts[0], "id": texts[0]})
    if kind == "json":
        return json.dumps(rows).encode()
    if kind == "jsonl":
        return "\n".join(map(json.dumps, rows)).encode()
    written = io.StringIO()
    table = csv.DictWriter(written, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue().encode()


def test_as_files_of_pairs(watched: Any) -> None:
    """As what stands in a file of each kind, and as its name; as a file that is none as well."""
    page = watched()
    open_tab(page, "Robustness")
    page.click("#kv-lab-source label:has(input[value=file])")

    def run(name: str, data: bytes) -> None:
        upload(page, "#kv-lab-file", name, data)
        page.evaluate(PRESS, ["kv-lab-run", "kv-lab-run"])

    kinds = ("json", "jsonl", "csv", "tsv")
    for number, kind in enumerate(kinds):
        # As many as are shown one by one.
        for texts in batches(some(10 * number, 20), 40):
            run(f"{texts[-1]}.{kind}", pairs_file(kind, texts))
    for number, text in enumerate(some(2, 2)):
        run(f"{text}.{kinds[number % 4]}", text.encode())


def test_as_sentences(watched: Any) -> None:
    page = watched()
    open_tab(page, "Robustness")
    page.click("#kv-lab-source label:has(input[value=sentences])")
    for texts in batches(some(4, 12), 40):
        page.locator("#kv-lab-mine textarea").fill("\n".join(texts))
        page.evaluate(PRESS, ["kv-lab-run", "kv-lab-run"])


def test_as_words_of_the_map(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As words that variants are made of, that are laid out afresh, whose distances are saved."""
    monkeypatch.setattr("kronviz.maps.fresh.layout", lambda vectors, **settings: main_axes(vectors))
    page = watched()
    open_tab(page, "Map")
    words = "#kv-map-words textarea"
    for text in some(11, 2):
        page.evaluate(TYPE, [words, [""]])
        page.evaluate(ANSWERED, ["#kv-map-base :is(input, textarea)", text, "kv-map-add"])
    for number, texts in enumerate(batches(some(6, 12), 20)):
        page.evaluate(TYPE, [words, ["\n".join([*texts, *"one two three four".split()])]])
        page.evaluate("document.querySelector('#kv-map-fresh > *').id = 'kv-before'")
        page.click("#kv-map-anew")
        page.wait_for_selector(
            "#kv-map-fresh :is([data-fresh], .kv-refused):not(#kv-before *)", state="attached"
        )
        if not number:
            with page.expect_download():
                page.click("#kv-map-distances")
    page.evaluate(TYPE, [words, [""]])


def test_as_strings_and_prompts_of_the_echo(watched: Any) -> None:
    page = watched()
    open_tab(page, "Generate")
    strings, prompts = (
        page.locator(f"#kv-echo-{part} textarea") for part in ("strings", "prompts")
    )
    texts = [text.replace(",", " ") for text in some(13, 5)]
    short = [text for text in texts if len(text.encode()) <= 64]
    prompts.fill("A {} and")
    for given in [*batches(short, 8), *([text] for text in texts if text not in short)]:
        strings.fill(", ".join(given))
        page.evaluate(PRESS, ["kv-echo-run", "kv-echo-run"])
    strings.fill("zyzzyva")
    for given in batches(texts, 8):
        prompts.fill("\n".join(f"{text} {{}} and" for text in given))
        page.evaluate(PRESS, ["kv-echo-run", "kv-echo-run"])


def test_as_a_model_of_ones_own(watched: Any) -> None:
    """Words to look at, names of a tensor and of a model, files whose names and tokens attack.

    The page is opened by a link that attacks.
    """
    page = watched(link(some(5, 3)[2], tab="your-model", **{"your-model.map": "0"}))
    short = [text for text in ATTACKS if len(text) < 90][:: 1 if ALL else 3]
    strings = ["<s>", *short, *(f"▁{text}" for text in short), *"run runs ▁run ▁runs".split()]
    listed = list(dict.fromkeys(strings))
    rows = np.random.default_rng(1).normal(size=(len(listed), 8)).astype("f4")
    tokens = {
        "json": json.dumps(listed).encode(),
        "txt": "\n".join(text.replace("\n", " ") for text in listed).encode(),
    }
    numbers = io.BytesIO()
    np.save(numbers, rows)
    page.get_by_text("More settings").click()
    page.get_by_text("My files", exact=True).click()
    words = page.locator("#kv-table-words :is(input, textarea)")
    tensor = page.locator("#kv-tab-your-model [placeholder='model.embed_tokens.weight']")

    def measure(files: dict[str, tuple[str, bytes]], text: str) -> None:
        for part, (name, data) in files.items():
            upload(page, f"#kv-table-{part}", name, data)
        words.fill(text)
        tensor.fill(text)
        page.evaluate(PRESS, ["kv-table-run", "kv-table-run"])

    first, second, *_ = texts = some(17, 2)
    for kind, data in tokens.items():
        files = {
            "vectors": (f"{first}.npy", numbers.getvalue()),
            "tokens": (f"{second}.{kind}", data),
        }
        measure(files, ", ".join([short[0], short[5], "run"]))
    for text in texts:
        measure({}, text)
    # A tensor's name: the one asked for, and those that are there.
    for given in batches(texts, 3):
        named = dict.fromkeys(given, rows)
        measure({"vectors": (f"{given[0]}.safetensors", save(named))}, given[-1])
    # Files that are none, under such a name.
    for text in texts:
        measure({"vectors": (f"{text}.npy", text.encode())}, "run")
        if ALL:
            measure({"tokens": (f"{text}.json", text.encode())}, "run")
            measure({"tokens": ("tokens.json", tokens["json"])}, "run")
    page.get_by_text("A public model", exact=True).click()
    for text in texts:
        page.locator("#kv-table-model :is(input, textarea)").fill(f"a/{text}")
        page.evaluate(PRESS, ["kv-table-run", "kv-table-run"])


def test_sent_in_a_link(watched: Any) -> None:
    """In every name that a link can carry, each tab in its turn."""
    tabs = ("map", "generate", "your-model", None, "bytes", "robustness")
    for place, text in enumerate(some(5, 3) if ALL else some(5, 3)[:2]):
        page = watched(link(text, tab=tabs[place % len(tabs)] or text))
        if ALL:
            nothing_ran(page)
            page.close()
