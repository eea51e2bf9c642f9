"""The first tab in a real browser: what a visitor sees, types, follows and breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from walking import cut_off, open_tab

from kronviz.app.tabs.compare.tab import EVERY, INTRO
from kronviz.checkpoint_files import PAIR
from kronviz.figures.palette import ARMS, NEUTRALS
from kronviz.probes.pairs import load_pairs
from kronviz.serving import Busy, Comparisons

EXAMPLES = load_pairs().pairs[::EVERY]
CLEAN, TYPO = EXAMPLES[0].clean, EXAMPLES[0].typo
Visit = Callable[..., Any]
PAGE = "compare"
CLEAN_BOX, TYPO_BOX = "#kv-clean textarea", "#kv-typo textarea"
TYPO_TOKENS = ".kv-reading:nth-of-type(2) .kv-chips"


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(part) for part in bytes.fromhex(colour[1:]))})"


READ = """(which) => [...document.querySelectorAll(".kv-chips")[which].children]
    .map((chip) => chip.dataset.hex).join(" ")"""


def read_tokens(page: Any, which: int = 1) -> str:
    """The text that the page says the models read: 0 is the clean one, 1 the misspelled one."""
    return bytes.fromhex(page.evaluate(READ, which)).decode()


def wait_for(page: Any, text: str, which: int = 1) -> None:
    """Until the answer on the page is the answer to this text."""
    page.wait_for_function(
        f"([text, which]) => ({READ})(which) === text", arg=[text.encode().hex(" "), which]
    )


def test_the_first_screen_shows_a_result_before_anything_is_asked(visit: Visit) -> None:
    """And so does the byte sheet."""
    page = visit()
    assert page.locator(".kv-result").get_attribute("data-seq") == "0", "it came with the page"
    assert page.input_value(CLEAN_BOX) == CLEAN
    assert page.input_value(TYPO_BOX) == TYPO
    assert page.locator(".kv-panel").count() == 2
    assert page.locator(".kv-bars tbody tr").count() == 20
    assert page.locator(".kv-numbers").first.inner_text().count("%") == 2
    assert page.locator(".kv-score").count() == 12
    assert read_tokens(page, 0) == CLEAN
    assert read_tokens(page, 1) == TYPO
    assert len(INTRO.split()) <= 30
    page.wait_for_selector(".kv-now-sides svg >> nth=1")
    arms = page.eval_on_selector_all(".kv-now-bars", "bars => bars.map((bar) => bar.dataset.arm)")
    assert arms.count("bpe") == arms.count("kron") >= 2, "both models in both texts"
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('textarea, input')"):
            break
    else:
        raise AssertionError("no field within six presses of Tab")
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("scrollTo(0, 0)")
        for part in (".kv-intro", ".kv-now", ".kv-finding", "#kv-texts"):
            box = page.locator(part).first.bounding_box()
            assert box["y"] >= 0, part
            assert box["y"] + box["height"] <= height, part
        assert page.locator(".kv-finding").first.inner_text().startswith("P(")
        every_tooltip_stays_inside(page, width)
    page.requests.clear()
    open_tab(page, "bytes")
    page.wait_for_selector("#kv-byte-sheet .kv-lit", state="visible")
    page.wait_for_timeout(300)
    assert not [url for url in page.requests if "/queue/" in url or "/run/" in url]
    assert page.errors == []


def every_tooltip_stays_inside(page: Any, width: int) -> None:
    for place in range(page.locator(".kv-info:visible").count()):
        page.locator(".kv-info:visible").nth(place).focus()
        page.wait_for_selector("#kv-float:visible")
        box = page.locator("#kv-float").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        if width < 600:
            assert box["x"] == 8, "on a phone it has the whole width"
        else:
            mark = page.locator(".kv-info:visible").nth(place).bounding_box()
            assert box["x"] <= mark["x"] + mark["width"] / 2 <= box["x"] + box["width"]
        page.keyboard.press("Escape")
    page.locator(".kv-info:visible").first.hover()
    page.wait_for_selector("#kv-float:visible")


def test_the_first_picture_is_there_before_any_script_of_the_app(
    browser: Any, address: str
) -> None:
    page = browser.new_page(color_scheme="dark", viewport={"width": 390, "height": 844})
    page.route("**/assets/**", lambda route: route.abort())
    page.goto(address)
    page.wait_for_selector("#kv-first .kv-now-sides svg >> nth=1")
    assert page.locator("#kv-first .kv-finding").inner_text().startswith("P(")
    assert page.locator("#kv-first textarea").nth(1).input_value() == TYPO
    assert cut_off(page) == []
    paper = page.evaluate("getComputedStyle(document.querySelector('#kv-first')).backgroundColor")
    assert paper == rgb(NEUTRALS["paper"].dark)
    page.goto(f"{address}?tab=map")
    page.wait_for_selector("#kv-first .kv-masthead")
    assert not page.locator("#kv-first .kv-finding").count(), "it is not a picture of that view"
    page.close()


RESTS = """async () => {
    const now = performance.now.bind(performance);
    let calls;
    performance.now = () => { calls += 1; return now(); };
    for (let tries = 0; tries < 30 && calls !== 0; tries += 1) {
        calls = 0;
        await new Promise((done) => setTimeout(done, 300));
    }
    delete performance.now;
    return calls;
}"""
"""How often clocks and movements ask for the time, once they do no more."""


def test_a_page_that_nobody_touches_comes_to_rest(stay: Visit) -> None:
    """Gradio's loading screen leaves a clock behind that ticks with every frame."""
    assert stay().evaluate(RESTS) == 0


def test_the_picture_shows_the_word_at_the_cursor_and_keeps_its_height(stay: Visit) -> None:
    page = stay()
    page.fill(CLEAN_BOX, "an extraordinary day")
    page.fill(TYPO_BOX, "an extrordinary dya")
    wait_for(page, "an extrordinary dya")
    wait_for(page, "an extraordinary day", 0)
    said, heights = [], set()
    for place in (1, 8, 19):
        page.evaluate(
            "([box, at]) => { const area = document.querySelector(box); area.focus();"
            " area.setSelectionRange(at, at); }",
            [TYPO_BOX, place],
        )
        page.wait_for_timeout(100)
        letters = page.locator(".kv-now-side:nth-child(3) .kv-now-letter")
        said.append("".join(letters.all_text_contents()))
        heights.add(page.locator(".kv-now").bounding_box()["height"])
    assert said[0] == "an"
    assert said[1].startswith("␣ex")
    assert said[2] == "␣dya"
    assert len(heights) == 1


def test_a_missing_letter_is_marked_in_the_text_that_lacks_it(stay: Visit) -> None:
    page = stay()
    page.fill(CLEAN_BOX, "seven days")
    page.fill(TYPO_BOX, "sevn days")
    wait_for(page, "sevn days")
    wait_for(page, "seven days", 0)
    assert page.locator(TYPO_TOKENS).locator("mark.kv-gap").count() == 1
    assert page.locator(".kv-chips").first.locator("mark").inner_text() == "e"


def test_undo_brings_ones_own_texts_back_after_an_example(stay: Visit) -> None:
    page = stay()
    page.fill(CLEAN_BOX, "my own text")
    page.fill(TYPO_BOX, "my onw text")
    page.locator(".kv-example").nth(1).click()
    wait_for(page, EXAMPLES[1].typo)
    page.keyboard.press("Control+z")
    assert page.input_value(CLEAN_BOX) == "my own text"
    assert page.input_value(TYPO_BOX) == "my onw text"
    page.locator(".kv-example").nth(1).click()
    # Other models have other examples, drawn with a hidden button.
    page.eval_on_selector(".kv-undo", "undo => { undo.hidden = true; }")
    page.evaluate("window.kronviz.fresh('.kv-of-models')")
    page.click(".kv-undo")
    assert page.input_value(TYPO_BOX) == "my onw text"


def test_back_and_forward_move_between_views_and_keep_the_texts(stay: Visit) -> None:
    page = stay()
    page.fill(TYPO_BOX, "Teh capital")
    page.wait_for_function("location.search.includes('typo=Teh')")
    page.click(".kv-groups >> text=Map")
    page.click(".kv-groups >> text=Evidence")
    page.click(".kv-views:visible >> text=Training")
    for name in ("robustness", "map", "compare"):
        page.go_back()
        page.wait_for_function(f"window.kronvizViews.current() === '{name}'")
    assert "typo=Teh" in page.url
    page.go_forward()
    page.wait_for_function("window.kronvizViews.current() === 'map'")
    assert page.input_value(TYPO_BOX) == "Teh capital"
    open_tab(page, "compare")


def test_arrow_keys_move_along_the_tabs(stay: Visit) -> None:
    page = stay()
    page.locator(".kv-groups [aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("window.kronvizViews.current() === 'bytes'")
    page.keyboard.press("End")
    page.wait_for_function("window.kronvizViews.current() === 'your-model'")
    page.keyboard.press("Home")
    page.wait_for_function("window.kronvizViews.current() === 'compare'")


def test_answers_follow_typing_in_both_fields(stay: Visit) -> None:
    page = stay()
    before = page.locator(".kv-verdict").inner_text()
    page.fill(TYPO_BOX, "The cpaital of France")
    wait_for(page, "The cpaital of France")
    page.fill(CLEAN_BOX, "The capital of Spain")
    wait_for(page, "The capital of Spain", 0)
    assert page.locator(".kv-verdict").inner_text() != before
    page.fill(TYPO_BOX, "The capital of Spain")
    wait_for(page, "The capital of Spain")
    page.wait_for_selector("text=Both texts are the same")
    assert page.errors == []


def test_the_last_keystroke_wins_and_an_overtaken_answer_is_never_drawn(
    stay: Visit, unhurried: Any
) -> None:
    page = stay()
    page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => {
                const text = [...document.querySelectorAll(".kv-chips")[1].children]
                    .map((chip) => chip.textContent).join("");
                if (window.seen.at(-1) !== text) window.seen.push(text);
            }).observe(document.querySelector("#kv-answer"), {subtree: true, childList: true,
                                                            characterData: true});
        }"""
    )
    unhurried.asked.clear()
    page.fill(TYPO_BOX, "a slow text")
    page.wait_for_timeout(200)
    for end in ("o", "on", "one", "one t", "one two"):
        page.fill(TYPO_BOX, f"quick {end}")
    wait_for(page, "quick one two")
    page.wait_for_timeout(500)
    assert read_tokens(page) == "quick one two"
    seen = [text.replace("␣", " ") for text in page.evaluate("window.seen")]
    assert seen[-1] == "quick one two"
    assert "a slow text" not in seen[seen.index("quick one two") :]
    assert len(unhurried.asked) <= 4, "keystrokes that were overtaken were still computed"
    kept = page.evaluate(
        """() => {
            const {latest} = window.kronviz;
            latest("a part", 900, "new");
            return latest("a part", 899, "old").html;
        }"""
    )
    assert kept == "new"


def test_nothing_moves_and_nothing_is_rebuilt_while_answers_change(stay: Visit) -> None:
    page = stay()
    page.fill(TYPO_BOX, TYPO)
    wait_for(page, TYPO)
    page.evaluate("scrollTo(0, 0); window.first = document.querySelector('.kv-result')")

    def places() -> list[float]:
        return page.evaluate(
            """[".kv-verdict", ".kv-readings", ".kv-panel", ".kv-footer"].map(
                (name) => Math.round(document.querySelector(name).getBoundingClientRect().top))"""
        )

    before = places()
    for text in ("The", "The capital of Frnce", "", "Teh captal of Frnc"):
        page.fill(TYPO_BOX, text)
        if text:
            wait_for(page, text)
        else:
            page.wait_for_selector(".kv-refused")
        assert places() == before, text
    assert page.evaluate("window.first === document.querySelector('.kv-result')")


def test_bad_input_is_one_sentence_in_place_and_the_input_stays(stay: Visit) -> None:
    page = stay()
    page.fill(TYPO_BOX, "")
    page.wait_for_selector(".kv-refused")
    assert page.locator(".kv-refused").inner_text() == (
        "The misspelled text is empty; type a few words."
    )
    long = "a" * 100_000
    page.fill(TYPO_BOX, long)
    page.wait_for_selector("text=100,000 characters")
    assert page.input_value(TYPO_BOX) == long
    assert page.locator(".kv-bars tbody tr").count() == 20
    page.fill(TYPO_BOX, TYPO)
    wait_for(page, TYPO)
    assert page.locator(".kv-refused").count() == 0
    assert page.locator("text=Traceback").count() == 0


def test_lone_surrogates_reach_the_models_as_replacement_characters(stay: Visit) -> None:
    page = stay()
    page.evaluate(
        """(box) => {
            const area = document.querySelector(box);
            area.value = "half \\ud800 pair";
            area.dispatchEvent(new Event("input", {bubbles: true}));
        }""",
        TYPO_BOX,
    )
    wait_for(page, "half \ufffd pair")
    assert page.errors == []


def test_a_link_restores_the_view_and_typing_keeps_it_current(visit: Visit) -> None:
    clean, typo = "Two plus two is", "Tow plus two is <b>&amp; \u2603"
    page = visit(f"?clean={quote(clean)}&typo={quote(typo)}")
    wait_for(page, typo)
    assert page.input_value(CLEAN_BOX) == clean
    assert page.locator(".kv-result").is_visible()
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    page.fill(TYPO_BOX, "Two plsu two is 100% + more")
    page.wait_for_function("location.search.includes('plsu')")
    query = parse_qs(urlsplit(page.url).query)
    assert query["typo"] == ["Two plsu two is 100% + more"]
    assert query["clean"] == [clean]


def test_a_link_names_its_tab(stay: Visit) -> None:
    """And a link with a name opens it, as the tests of other tabs show."""
    page = stay()
    open_tab(page, "training")
    page.wait_for_function("location.search.includes('tab=training')")
    open_tab(page, "compare")
    page.wait_for_function("!location.search.includes('tab')")


def test_an_address_with_long_texts_stops_no_answer(stay: Visit) -> None:
    """The page's own requests carry the query of its address, which is therefore kept short."""
    page = stay()
    page.fill(CLEAN_BOX, "a b " * 300)
    page.fill(TYPO_BOX, "a c " * 300)
    page.wait_for_function("location.search.length > 2300")
    with page.expect_response(lambda answer: "/queue/join" in answer.url) as asked:
        open_tab(page, "inside")
    assert asked.value.ok
    page.evaluate(
        """() => {
            const url = new URL(location.href);
            url.searchParams.set("text", "w".repeat(7000));
            url.searchParams.set("with", "b");
            window.kronvizViews.replace(url);
        }"""
    )
    assert page.evaluate("window.kronvizViews.shortened()")
    assert page.evaluate("location.search.length") < 6000
    assert "with=b" in page.url
    open_tab(page, "compare")


def test_a_text_too_long_for_a_link_leaves_the_address_alone(stay: Visit) -> None:
    page = stay()
    page.fill(TYPO_BOX, "é" * 1900)
    page.wait_for_selector(".kv-refused")
    page.wait_for_timeout(400)
    assert len(page.url) < 7000


def test_an_example_fills_both_fields(stay: Visit) -> None:
    page = stay()
    clean, typo = EXAMPLES[1].clean, EXAMPLES[1].typo
    page.locator(".kv-example").nth(1).click()
    wait_for(page, typo)
    wait_for(page, clean, 0)
    assert page.input_value(CLEAN_BOX) == clean


def test_misspell_it_for_me_changes_the_text_says_how_and_can_be_repeated(stay: Visit) -> None:
    page = stay()
    page.fill(CLEAN_BOX, "Plants need water and sunlight")
    page.fill(TYPO_BOX, "Plants need water and sunlight")
    page.click("#kv-misspell")
    page.wait_for_selector(".kv-edits li")
    first = page.input_value(TYPO_BOX)
    assert first != "Plants need water and sunlight"
    wait_for(page, first)
    assert "seed 1" in page.locator(".kv-edits").inner_text()
    page.click("text=Kinds, strength and seed")
    # The box is made as the fold opens, with the next seed: a number typed before would be lost.
    page.wait_for_function("document.querySelector('#kv-how .kv-lab-seed input')?.value === '2'")
    page.locator("#kv-how").get_by_label("Seed").fill("1")
    page.fill(TYPO_BOX, "Plants need water and sunlight")
    page.click("#kv-misspell")
    page.wait_for_function(
        "([box, text]) => document.querySelector(box).value === text", arg=[TYPO_BOX, first]
    )


def test_a_text_too_long_to_be_read_is_not_misspelled(stay: Visit) -> None:
    page = stay()
    page.fill(CLEAN_BOX, "far too long " * 1_000)
    typed = page.input_value(TYPO_BOX)
    page.click("#kv-misspell")
    page.wait_for_selector(".kv-edits:has-text('13,000 characters; the limit is 2,000')")
    assert page.input_value(TYPO_BOX) == typed
    page.fill(CLEAN_BOX, "Plants need water and sunlight")
    wait_for(page, "Plants need water and sunlight", 0)


@pytest.fixture
def dark(stay: Visit) -> Any:
    """A page in the dark, opened by a link to what it shows anyway."""
    return stay(f"?clean={quote(CLEAN)}&typo={quote(TYPO)}", color_scheme="dark")


def test_a_link_to_what_the_page_shows_anyway_is_shown_at_once(dark: Any) -> None:
    dark.wait_for_function("!document.documentElement.classList.contains('kv-restoring')")
    assert dark.locator(".kv-result").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_follow_the_system_and_the_button_switches(
    stay: Visit, dark: Any, scheme: str
) -> None:
    page = dark if scheme == "dark" else stay()
    other = {"light": "dark", "dark": "light"}[scheme]

    def paper() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert paper() == rgb(getattr(NEUTRALS["paper"], scheme))
    page.get_by_role("button", name="Light / dark").click()
    assert paper() == rgb(getattr(NEUTRALS["paper"], other))
    page.get_by_role("button", name="Light / dark").click()


def test_figures_are_repainted_in_the_dark(dark: Any) -> None:
    open_tab(dark, "training")
    dark.wait_for_selector(".kv-plot .js-line")
    strokes = dark.evaluate(
        "[...document.querySelectorAll('.kv-plot .js-line')].map(e => getComputedStyle(e).stroke)"
    )
    assert set(strokes) == {
        rgb(ARMS["bpe"].dark), rgb(ARMS["kron"].dark), rgb(NEUTRALS["ink"].dark),
    }  # fmt: skip


CORNER = """async ([where, format]) => {
    const made = await window.kronvizShare.picture(document.querySelector(where), format);
    if (format === "svg") return made.text();
    const drawn = await createImageBitmap(made);
    const canvas = new OffscreenCanvas(drawn.width, drawn.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(drawn, 0, 0);
    const { data } = context.getImageData(0, 0, drawn.width, drawn.height);
    let light = 0;
    for (let at = 1; at < data.length; at += 4) light += data[at] > 200;
    return [`rgb(${[...data.slice(0, 3)].join(", ")})`, light / (data.length / 4)];
}"""


def test_what_is_saved_in_the_dark_is_dark(dark: Any) -> None:
    open_tab(dark, "training")
    plot = "#kv-tab-training .kv-plot:has(.js-line)"
    dark.wait_for_selector(plot)
    drawn = dark.evaluate(CORNER, [plot, "svg"]).lower()
    pair = [ARMS[arm] for arm in PAIR]
    for colour in (*pair, NEUTRALS["paper"]):
        assert rgb(colour.dark) in drawn
    for colour in (*pair, NEUTRALS["paper"], NEUTRALS["ink"], NEUTRALS["muted"]):
        assert rgb(colour.light) not in drawn
        assert colour.light.lower() not in drawn
    for where in (plot, "#kv-answer"):
        corner, light = dark.evaluate(CORNER, [where, "png"])
        assert corner == rgb(NEUTRALS["paper"].dark)
        assert light < 0.25


def test_the_keyboard_reaches_tokens_and_explanations(stay: Visit) -> None:
    page = stay()
    page.locator(".kv-chip").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.id") is not None
    page.wait_for_selector("#kv-float:has-text('bytes')")
    page.locator(".kv-info").nth(1).focus()
    tip = page.locator("#kv-float")
    tip.wait_for()
    page.keyboard.press("Escape")
    tip.wait_for(state="hidden")


def test_every_control_has_a_name(stay: Visit) -> None:
    page = stay()
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, textarea, select, a")]
            .filter((e) => e.checkVisibility() && !e.ariaLabel && !e.innerText?.trim()
                           && !e.labels?.length && !e.title)
            .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_where_too_many_wait_the_page_says_the_place_and_asks_again(
    stay: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = stay()
    own, refused = Comparisons.submit, []

    def busy_once(self: Comparisons, *texts: str, **more: str) -> object:
        if not refused:
            refused.append(texts)
            raise Busy(313, 0.1)
        return own(self, *texts, **more)

    monkeypatch.setattr(Comparisons, "submit", busy_once)
    page.fill("#kv-typo textarea", "Teh captial")
    page.wait_for_selector(".kv-refused:has-text('number 313 in the queue')")
    page.wait_for_selector(".kv-finding:not(.kv-refused)")
    assert page.errors == []
