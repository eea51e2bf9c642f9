"""The promises of `kronviz.typos`, most of them as properties over any text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from functools import cache

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kronviz.results import from_json, to_json
from kronviz.typos import KEYBOARDS, KINDS, Edit, Misspelling, apply_edits, human, misspell, words
from kronviz.typos.kinds import FINDERS, Site
from kronviz.typos.tables import key_neighbours

PROSE = (
    "The necessary commission in Geneva will physically receive a letter about the weather, "
    "because successful committees don't usually separate business from knowledge."
)
ODD = [
    "",
    " \t\n",
    "12345 67.8 % -- ()",
    "a",
    "I",
    "\ud83d\ude00 half \udc00 a \ud800 pair",
    "e\u0301te\u0301 na\u0131ve \u0130stanbul Stra\u00dfe \ufb01sh",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e \u0915\u094d\u200d\u0937",
    "\u0e01\u0e33\u0e25\u0e31\u0e07 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "Z\u0335\u0321\u0322a\u0300\u0301\u0302l\u0316g\u0317o",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 family a\U0001f3fb \u200fright\u200e",
    "\x00nul <b>html</b> & \u202erl",
    "aaaaaaaaaaaaaaaa",
    "''' don't rock'n'roll \u2019tis o\u2019clock",
]

texts = st.one_of(
    st.sampled_from([PROSE, *ODD]),
    st.text(max_size=60),
    st.text(alphabet="abcdeAB ll'\u2019\u0301\u0939\u094d\u0928é1.\n", max_size=60),
    st.lists(st.sampled_from(PROSE.split()), max_size=20).map(" ".join),
)
kind_lists = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6)
options = st.fixed_dictionaries(
    {
        "kinds": kind_lists,
        "edits": st.integers(0, 12),
        "seed": st.integers(0, 2**63),
        "share": st.none() | st.floats(0, 1),
        "protect_first": st.booleans(),
        "keyboard": st.sampled_from(sorted(KEYBOARDS)),
    }
)


def for_any(*strategies: st.SearchStrategy) -> Callable[[Callable], Callable]:
    """A property that may be slow: dictionaries load on first use, and machines are busy."""
    return lambda test: settings(deadline=None)(given(*strategies)(test))


@for_any(texts, options)
def test_edits_are_the_whole_truth(text: str, how: dict) -> None:
    result = misspell(text, **how)
    assert (result.original, result.seed) == (text, how["seed"])
    assert apply_edits(text, result.edits) == result.text
    assert (result.text == text) == (not result.edits)
    for edit in result.edits:
        assert edit.kind in how["kinds"]
        assert edit.before == text[edit.start : edit.end] != edit.after
    for edit, following in zip(result.edits, result.edits[1:], strict=False):
        assert edit.end < following.start, "edits must not touch"


@for_any(texts, options)
def test_never_more_edits_than_asked_for(text: str, how: dict) -> None:
    result = misspell(text, **how)
    if how["share"] is None:
        assert len(result.edits) <= how["edits"]
    else:
        per_word = words_edited(result)
        count = len(words.find_words(text))
        assert len(per_word) <= max(how["share"] * count + 0.5, 1 if how["share"] else 0)
        assert all(n <= how["edits"] for n in per_word.values())


@for_any(st.sampled_from(sorted(KINDS)), st.integers(0, 6), st.integers(0, 10**6), st.booleans())
def test_exactly_the_number_and_kind_promised(
    kind: str, edits: int, seed: int, protect_first: bool
) -> None:
    text = " ".join([PROSE] * 3)
    result = misspell(text, kinds=(kind,), edits=edits, seed=seed, protect_first=protect_first)
    assert [edit.kind for edit in result.edits] == [kind] * edits
    assert len(set(words_edited(result))) == edits, "other words first"


# An «a» before an «a» with marks is not that letter doubled.
@example(ODD[9], {"kinds": ["insert"], "edits": 3, "seed": 1, "keyboard": "azerty"})
@for_any(texts, options)
def test_every_edit_is_of_its_kind(text: str, how: dict) -> None:
    for edit in misspell(text, **how).edits:
        assert IS_OF_KIND[edit.kind](edit, text, how["keyboard"]), edit


@for_any(texts, options)
def test_same_arguments_same_result(text: str, how: dict) -> None:
    assert misspell(text, **how) == misspell(text, **how)


def test_same_result_in_another_process() -> None:
    code = (
        "from kronviz.typos import *;"
        f"print(ascii([misspell({PROSE!r}, kinds=tuple(KINDS), edits=9, seed=s).text"
        " for s in range(20)]))"
    )
    here = [misspell(PROSE, kinds=tuple(KINDS), edits=9, seed=s).text for s in range(20)]
    for hash_seed in "12":
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == ascii(here)


def test_seeds_differ() -> None:
    assert len({misspell(PROSE, seed=seed).text for seed in range(50)}) > 40


@for_any(texts, options)
def test_unicode_stays_valid_and_lone_surrogates_stay_alone(text: str, how: dict) -> None:
    result = misspell(text, **how).text
    assert [c for c in result if surrogate(c)] == [c for c in text if surrogate(c)]
    "".join(c for c in result if not surrogate(c)).encode("utf-8")


@for_any(texts, options)
def test_characters_are_never_torn(text: str, how: dict) -> None:
    whole = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    for edit in misspell(text, **how).edits:
        if edit.kind not in ("leading_space", "join"):
            assert {edit.start, edit.end} <= whole, edit


@for_any(texts, options)
def test_protected_first_letters(text: str, how: dict) -> None:
    result = misspell(text, **{**how, "protect_first": True})
    firsts = {word.starts[0]: word.letters[0] for word in words.find_words(text)}
    for edit in result.edits:
        for start, letter in firsts.items():
            if edit.start < start + len(letter) and start < edit.end:
                assert edit.after.casefold().startswith(letter.casefold())
            elif edit.start == edit.end == start:
                assert edit.after == " "


def test_first_letters_open_on_request() -> None:
    firsts = {
        misspell("capital", kinds=("neighbour",), seed=seed, protect_first=False).text[0]
        for seed in range(40)
    }
    assert firsts > {"c"}


@for_any(texts, options)
def test_results_survive_json(text: str, how: dict) -> None:
    result = misspell(text, **how)
    if not any(surrogate(c) for c in text):
        assert from_json(Misspelling, to_json(result)) == result


def test_text_without_letters_is_left_alone() -> None:
    for text in ("", " \n\t", "12 345 6.7", "\ud800\udc00 \U0001f600 ...", "=+-"):
        assert misspell(text, kinds=tuple(KINDS), edits=5) == Misspelling(text, text, (), 0)


def test_as_many_edits_as_possible() -> None:
    result = misspell("letter", kinds=("undouble",), edits=5)
    assert (result.text, len(result.edits)) == ("leter", 1)


def test_one_edit_of_the_classic_kinds_is_one_step() -> None:
    for kind in ("swap", "drop", "insert", "double", "neighbour", "substitute"):
        for seed in range(12):
            assert damerau(PROSE, misspell(PROSE, kinds=(kind,), seed=seed).text) == 1


def test_default_typos_hit_content_words() -> None:
    text = "It is on the table, and they will not be in the garden with us"
    spans = [(text.index(word), text.index(word) + len(word)) for word in ("table", "garden")]
    for seed in range(60):
        for edit in misspell(text, seed=seed).edits:
            assert any(a <= edit.start and edit.end <= b for a, b in spans), edit


def test_words_of_one_letter_are_not_for_letter_kinds() -> None:
    for kind in KINDS.keys() - {"case", "leading_space", "join"}:
        assert not misspell("a I o 7 x2", kinds=(kind,), edits=9, protect_first=False).edits, kind


def test_a_swap_needs_two_letters_that_may_change() -> None:
    assert misspell("ab cd", kinds=("swap",), edits=9).edits == ()
    assert misspell("ab", kinds=("swap",), protect_first=False).text == "ba"
    assert misspell("1 " * 200 + "end", kinds=("swap",)).text == "1 " * 200 + "edn"


def test_letters_of_other_scripts_are_separate() -> None:
    for text in ("한국어", "日本語", "ひらがな", "ԱԲԳ", "𠀀𠀁", "𝐚𝐛"):
        assert [word.letters for word in words.find_words(text)] == [tuple(text)]


def test_what_changes_the_letter_before_it_belongs_to_it() -> None:
    for (
        mark
    ) in "\u0301\u093c\u1160\u11ff\u200c\u200d\ud7b0\U0001f3fb\U0001f3ff\U000e0020\U000e007f":
        assert words.find_words(f"ce{mark}e")[0].letters == ("c", f"e{mark}", "e"), ascii(mark)


def test_a_virama_joins_the_next_consonant_and_a_nukta_does_not() -> None:
    for text, letters in (("क्तक", ("क्त", "क")), ("क़त", ("क़", "त")), ("क्‍षा", ("क्‍षा",))):
        assert words.find_words(text)[0].letters == letters


def test_every_place_of_a_word_can_be_hit() -> None:
    for word in ("as", "sad", "sand"):
        site, n = Site(word, words.find_words(word)[0], 0, "qwerty"), len(word)
        places = {"swap": n - 1, "insert": n + 1, "drop": n, "double": n, "neighbour": n}
        for kind, count in places.items():
            assert [spot.start for spot in FINDERS[kind](site)] == list(range(count)), kind


def test_share_of_words() -> None:
    for share, expected in ((0, 0), (0.01, 1), (0.25, 5), (0.5, 10), (1, 20)):
        text = " ".join(["necessary", "weather", "knowledge", "separate"] * 5)
        for edits in (1, 2):
            per_word = words_edited(misspell(text, share=share, edits=edits))
            assert list(per_word.values()) == [edits] * expected


def test_examples_of_kinds_are_real() -> None:
    for kind in KINDS:
        before, after = KINDS[kind].example.split(" → ")
        spots = FINDERS[kind](Site(before, words.find_words(before)[0], 0, "qwerty"))
        reachable = {
            before[: spot.start] + option + before[spot.end :]
            for spot in spots
            for option in spot.options
        }
        assert after.replace("␣", " ") in reachable


def test_keyboards_differ() -> None:
    assert set(key_neighbours("s", "qwerty")) == set("adwezx")
    assert set(key_neighbours("q", "azerty")) == set("sazw")
    assert set(key_neighbours("Z", "qwertz")) == set("TUGH")
    assert key_neighbours("ж", "qwerty") == () == key_neighbours("é", "qwerty")[9:]


def test_human_misspellings_keep_the_case_and_the_first_letter() -> None:
    for seed in range(30):
        shouted = misspell("KNOWLEDGE", kinds=("human",), seed=seed).text
        assert shouted.isupper()
        assert shouted.startswith("K")
        made = misspell("Knowledge", kinds=("human",), seed=seed).text
        assert made.istitle()
        assert made.lower() in human.misspellings("knowledge")
    assert "receive" not in human.misspellings("receive")
    assert "recieve" in human.misspellings("Receive")
    assert human.misspellings("qqq") == ()


def test_human_without_codespell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(human, "find_spec", lambda name: None)
    human.dictionary_path.cache_clear()
    try:
        with pytest.raises(ValueError, match="pip install codespell"):
            misspell("receive", kinds=("human",))
        assert misspell("receive").edits
    finally:
        human.dictionary_path.cache_clear()


def test_arguments_of_no_use() -> None:
    for arguments, sentence in (
        ({"text": 7}, "text is 7, but must be a string."),
        ({"kinds": "swap"}, "kinds is 'swap', but must be a sequence of names, such as (\"swap\","),
        ({"kinds": ()}, "kinds is empty; choose from swap, drop,"),
        ({"kinds": ("swap", "typo")}, "kinds names 'typo'; choose from swap, drop,"),
        ({"kinds": (["swap"],)}, "kinds names ['swap']; choose from swap, drop,"),
        ({"keyboard": ["qwerty"]}, "keyboard is ['qwerty'], but must be one of"),
        ({"edits": -1}, "edits is -1, but must be a whole number, 0 or more."),
        ({"edits": 1.5}, "edits is 1.5, but must be a whole number, 0 or more."),
        ({"seed": "x"}, "seed is 'x', but must be a whole number."),
        ({"share": 1.1}, "share is 1.1, but must be a number from 0 to 1, or None"),
        ({"share": float("nan")}, "share is nan, but must be"),
        (
            {"keyboard": "dvorak"},
            "keyboard is 'dvorak', but must be one of qwerty, qwertz, azerty.",
        ),
        ({"keyboard": "x" * 999}, "keyboard is 'xxx"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}") as error:
            misspell(**{"text": "capital", **arguments})
        assert len(str(error.value)) < 250


@pytest.mark.parametrize("share", [None, 0.3])
def test_twice_the_text_is_at_most_twice_the_work(share: float | None) -> None:
    text = PROSE * 40
    short, long = (steps(lambda n=n: misspell(text[:n], share=share)) for n in (2000, 4000))
    assert long < 2.5 * short


@for_any(st.sampled_from(["a", "é", "ा", "\u0301", "क्", "\ud800", "aa ", "İ"]))
def test_long_monotonous_texts(unit: str) -> None:
    result = misspell(unit * 20_000, kinds=("swap", "insert", "double", "phonetic", "case"))
    assert len(result.edits) <= 1


# -- what the tests measure with ------------------------------------------------------------------


def surrogate(char: str) -> bool:
    return unicodedata.category(char) == "Cs"


def words_edited(result: Misspelling) -> dict[int, int]:
    """How many edits each word took, by the word's start; a join counts for the word before it."""
    counts: dict[int, int] = {}
    for edit in result.edits:
        start = max(
            word.start
            for word in words.find_words(result.original)
            if (edit.start >= word.start if edit.kind != "join" else edit.start == word.end)
        )
        counts[start] = counts.get(start, 0) + 1
    return counts


def damerau(a: str, b: str) -> int:
    """Edit distance with swaps of neighbours (optimal string alignment)."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(row[-1] + 1, rows[-1][j] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def steps(call: Callable[[], object]) -> int:
    """How many functions a call calls: work that can be counted on any machine."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


def clusters(text: str) -> list[str]:
    return regex.findall(r"\X", text)


def one_letter(text: str) -> bool:
    return len(clusters(text)) == 1 and text[0].isalpha()


def plain(text: str) -> str:
    """Without marks: what is left when every accent is taken off."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def script(letter: str) -> str:
    """LATIN, CYRILLIC or GREEK; one Latin look-alike is Latin itself, with a name of its own."""
    name = unicodedata.name(letter)
    return "SCRIPT" if "SCRIPT" in name else name.split()[0]


def is_swap(edit: Edit, text: str, keyboard: str) -> bool:
    halves = range(1, len(edit.before))
    return any(edit.after == edit.before[i:] + edit.before[:i] for i in halves)


def is_insert(edit: Edit, text: str, keyboard: str) -> bool:
    before, after = (
        regex.findall(r"\X", part) for part in (text[: edit.start], text[edit.start :])
    )
    beside = before[-1:] + after[:1]
    return edit.before == "" and one_letter(edit.after) and edit.after not in beside


def is_neighbour(edit: Edit, text: str, keyboard: str) -> bool:
    rows = KEYBOARDS[keyboard]
    place = {key: (r, c) for r, row in enumerate(rows) for c, key in enumerate(row)}
    old = place.get(edit.before.lower()) or place[plain(edit.before)[0].lower()]
    new = place[edit.after.lower()]
    return abs(old[0] - new[0]) <= 1 and abs(old[1] - new[1]) <= 1


@cache
def codespell_lines() -> list[str]:
    path = human.dictionary_path()
    return path.read_text(encoding="utf-8").lower().splitlines() if path else []


def is_human(edit: Edit, text: str, keyboard: str) -> bool:
    meant = edit.before.lower().replace("\u2019", "'")
    entries = (line for line in codespell_lines() if line.startswith(f"{edit.after.lower()}->"))
    return any(meant in re.split(r"->|, ?", entry)[1:] for entry in entries)


IS_OF_KIND: dict[str, Callable[[Edit, str, str], bool]] = {
    "swap": is_swap,
    "drop": lambda e, text, _: e.after == "" and one_letter(e.before),
    "insert": is_insert,
    "double": lambda e, text, _: one_letter(e.before) and e.after == e.before * 2,
    "undouble": lambda e, text, _: (
        e.before.startswith(e.after) and e.before.casefold() == e.after.casefold() * 2
    ),
    "substitute": lambda e, text, _: one_letter(e.before) and one_letter(e.after),
    "neighbour": is_neighbour,
    "phonetic": lambda e, text, _: e.before.isascii() and e.before.isalpha(),
    "case": lambda e, text, _: e.before.casefold() == e.after.casefold(),
    "leading_space": lambda e, text, _: (
        (e.before, e.after) == ("", " ") and (e.start == 0 or text[e.start - 1].isspace())
    ),
    "split": lambda e, text, _: (
        (e.before, e.after) == ("", " ") and e.start > 0 and not text[e.start - 1].isspace()
    ),
    "join": lambda e, text, _: (e.before, e.after) == (" ", ""),
    "homoglyph": lambda e, text, _: script(e.before) != script(e.after),
    "leet": lambda e, text, _: e.after in list("4@8391!0$572"),
    "diacritic": lambda e, text, _: plain(e.before) == plain(e.after) and len(e.after) == 1,
    "repeat": lambda e, text, _: (
        one_letter(e.before) and e.after in {e.before * n for n in (3, 4, 5)}
    ),
    "human": is_human,
}
