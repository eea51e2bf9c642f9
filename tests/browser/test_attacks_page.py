"""Strings that try to run a script, typed into every field, uploaded and sent in links: none runs.

A sample of `attacks.ATTACKS` goes through each field; ``KRONVIZ_ATTACKS=all`` sends all of them,
which takes some minutes. A script that ran would set ``__ran``; one that only the page's policy
stopped, or markup that came to life without running, counts as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from attacks import ATTACKS

Visit = Callable[..., Any]
EVERY = 1 if os.environ.get("KRONVIZ_ATTACKS") == "all" else 60
FIELDS = (
    ("Compare", "#kv-clean textarea"),
    ("Compare", "#kv-typo textarea"),
    ("Byte view", "#kv-byte-text :is(input, textarea)"),
    ("Byte view", "#kv-byte-with :is(input, textarea)"),
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
VARIED = """document.querySelector("#kv-map-words textarea").value
  || document.querySelector("#kv-map-said .kv-refused")"""
ALIVE = """() => [...document.querySelectorAll(
  "[onload], [onerror], [onfocus], [onclick], [ontoggle], [onstart], [onanimationstart], "
  + "[src='x'], #kv-click, [href^='javascript:' i], [action^='javascript:' i], "
  + "[srcdoc], embed"
)].map((element) => element.outerHTML.slice(0, 200))"""


@pytest.fixture
def watched(visit: Visit) -> Any:
    """Open a page that counts what a policy blocked; then see that nothing ran."""
    pages = []

    def open_page(query: str = "") -> Any:
        page = visit(query, script=WATCH)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.evaluate("window.__ran") is None
        assert page.evaluate("window.__blocked") == []
        assert page.evaluate(ALIVE) == []
        assert page.errors == []


def sample(start: int) -> list[str]:
    return list(ATTACKS[start % EVERY :: EVERY])


def test_there_are_five_hundred_of_them() -> None:
    assert len(set(ATTACKS)) >= 500


def test_typed_into_every_field_that_answers_while_one_types(watched: Any) -> None:
    page = watched()
    for number, (tab, selector) in enumerate(FIELDS):
        page.get_by_role("tab", name=tab, exact=True).click()
        page.wait_for_selector(selector, state="visible")
        page.evaluate(TYPE, [selector, sample(number * 7)])


def test_continued_and_forced_into_a_slot(watched: Any) -> None:
    page = watched()
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_selector("#kv-gen-start", state="visible")
    fields = {"clean": ("prompt",), "slot": ("string", "slotted"), "typo": ("prompt", "typo")}
    for number, text in enumerate(sample(3)[:: max(1, 16 // EVERY)]):
        mode = list(fields)[number % len(fields)]
        page.click(f"#kv-gen-mode label:has(input[value={mode}])")
        for name in fields[mode]:
            slotted = f"{text} {{}}" if name == "slotted" else text
            page.locator(f"#kv-gen-{name} :is(input, textarea)").fill(slotted)
        page.evaluate("document.querySelector('.kv-gen-result').removeAttribute('data-finished')")
        page.click("#kv-gen-start")
        page.wait_for_selector(".kv-gen-result[data-finished], .kv-gen-result .kv-refused")


def test_as_sentences_and_in_a_file(watched: Any, tmp_path: Path) -> None:
    page = watched()
    page.get_by_role("tab", name="Robustness").click()
    page.wait_for_selector("#kv-lab-run")
    short = [text for text in ATTACKS if len(text) < 90]
    rows = [{"clean": f"a {text}", "typo": text, "category": text, "id": text} for text in short]
    written = tmp_path / "<img src=x onerror=window.__ran=1>.jsonl"
    written.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    page.click("#kv-lab-source label:has(input[value=file])")
    page.set_input_files("#kv-lab-file input[type=file]", written)
    page.wait_for_selector("#kv-lab-file .file-preview, #kv-lab-file table")
    page.click("#kv-lab-run")
    page.wait_for_selector("#kv-lab-table .kv-downloads, #kv-lab-table .kv-refused")
    page.click("#kv-lab-source label:has(input[value=sentences])")
    page.locator("#kv-lab-mine textarea").fill("\n".join(short[::EVERY]))
    page.evaluate("document.querySelector('#kv-lab-table .kv-lab-result').id = 'kv-before'")
    page.click("#kv-lab-run:not([disabled])")
    page.wait_for_selector(
        "#kv-lab-table .kv-lab-result:not(#kv-before) :is(.kv-downloads, .kv-refused)"
    )
    page.wait_for_timeout(200)


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def test_as_words_that_variants_are_made_of(watched: Any) -> None:
    page = watched()
    open_tab(page, "Map")
    for text in sample(11)[:: max(1, 120 // EVERY)]:
        page.locator("#kv-map-words textarea").fill("")
        page.evaluate(
            "document.querySelector('#kv-map-said .kv-refused')?.classList.remove('kv-refused')"
        )
        page.locator("#kv-map-base :is(input, textarea)").fill(text)
        page.click("#kv-map-add")
        page.wait_for_function(VARIED)
    page.wait_for_timeout(200)


def test_as_strings_and_prompts_of_the_echo(watched: Any) -> None:
    page = watched()
    open_tab(page, "Generate")
    short = [text.replace(",", " ") for text in sample(13) if len(text) < 60]
    for start in range(0, len(short), 8):
        some = short[start : start + 8]
        page.locator("#kv-echo-strings textarea").fill(", ".join(some))
        page.locator("#kv-echo-prompts textarea").fill(f"{some[0]} {{}} and")
        page.click("#kv-echo-run")
        page.wait_for_selector("#kv-echo-shown :is(.kv-finding, .kv-downloads, .kv-refused)")
        page.wait_for_selector("#kv-echo-run:not([disabled])")


def test_as_a_model_of_ones_own(watched: Any, tmp_path: Path) -> None:
    """Words to look at, names of a tensor and of a model, files whose names and tokens attack."""
    page = watched("?tab=your-model&your-model.map=0")
    short = [text for text in ATTACKS if len(text) < 90]
    tokens = ["<s>", *short, *(f"▁{text}" for text in short), *"run runs ▁run ▁runs".split()]
    named = {
        "vectors": tmp_path / "<img src=x onerror=window.__ran=1>.npy",
        "tokens": tmp_path / "<svg onload=window.__ran=1>.json",
    }
    named["tokens"].write_text(json.dumps(list(dict.fromkeys(tokens))), encoding="utf-8")
    np.save(named["vectors"], np.random.default_rng(1).normal(size=(len(set(tokens)), 8)))
    page.get_by_text("More settings").click()
    page.get_by_text("My files", exact=True).click()
    for name, file in named.items():
        page.set_input_files(f"#kv-table-{name} input[type=file]", file)
        page.wait_for_selector(f"#kv-table-{name} :is(.file-preview, table)")

    def measure() -> None:
        page.click("#kv-table-run")
        page.wait_for_selector("#kv-table-run:not([disabled])")
        page.wait_for_selector("#kv-table-shown :is(.kv-downloads, .kv-refused)")

    words = page.locator("#kv-table-words :is(input, textarea)")
    tensor = page.locator("#kv-tab-your-model [placeholder='model.embed_tokens.weight']")
    words.fill(", ".join([short[0], short[5], "run"]))
    measure()
    for text in sample(17)[:: max(6, 240 // EVERY)]:
        words.fill(text)
        tensor.fill(text)
        measure()
    page.get_by_text("A public model", exact=True).click()
    page.locator("#kv-table-model :is(input, textarea)").fill(f"a/{ATTACKS[0]}")
    measure()


def test_sent_in_a_link(watched: Any) -> None:
    tabs = ("map", "generate", "your-model", None)
    for place, first in enumerate(sample(5)[:: max(3, 160 // EVERY)]):
        named = {"tab": tabs[place % 4] or first}
        watched("?" + urlencode({**dict.fromkeys(NAMES, first), **named}))
