"""The written pairs keep their promises; files of any kind and quality are read or refused."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from test_typos import damerau

from kronviz.probes import pairs as module
from kronviz.probes.pairs import Pair, PairSet, load_pairs, parse_pairs
from kronviz.results import from_json, to_json
from kronviz.typos import KINDS, apply_edits

OURS = load_pairs()
GOOD: dict[str, Any] = {
    "category": "geography",
    "clean": "The capital is",
    "typo": "The captial is",
}


# -- our own set ----------------------------------------------------------------------------------


def test_ours_is_large_and_balanced() -> None:
    assert OURS.problems == ()
    assert len(OURS.pairs) >= 300
    categories = Counter(pair.category for pair in OURS.pairs)
    assert len(categories) == 20
    assert min(categories.values()) >= 15


def test_ours_repeats_nothing() -> None:
    for field in ("id", "clean", "typo"):
        values = [getattr(pair, field).casefold() for pair in OURS.pairs]
        assert len(set(values)) == len(values), field
    assert not {pair.clean for pair in OURS.pairs} & {pair.typo for pair in OURS.pairs}


def test_ours_misspells_one_word_that_is_not_the_last() -> None:
    for pair in OURS.pairs:
        words = list(zip(pair.clean.split(" "), pair.typo.split(" "), strict=True))
        ((clean, typo),) = (word for word in words if word[0] != word[1])
        assert words[-1] != (clean, typo), pair.id
        assert len(clean.strip(",")) >= 4, pair.id
        assert clean[0] == typo[0], pair.id
        assert damerau(clean, typo) in (1, 2), pair.id
        assert pair.expected, pair.id


def test_ours_reports_its_edits() -> None:
    for pair in OURS.pairs:
        assert len(pair.edits) in (1, 2), pair.id
        assert apply_edits(pair.clean, pair.edits) == pair.typo, pair.id
        for edit in pair.edits:
            assert pair.clean[edit.start : edit.end] == edit.before, pair.id
            assert edit.kind in KINDS, pair.id


def test_ours_varies_the_kinds() -> None:
    kinds = Counter(edit.kind for pair in OURS.pairs for edit in pair.edits)
    assert len(kinds) >= 8
    assert kinds.most_common(1)[0][1] < len(OURS.pairs) / 3


# -- files of one's own ---------------------------------------------------------------------------

FORMATS = {
    "pairs.json": lambda rows: json.dumps(rows),
    "wrapped.json": lambda rows: json.dumps({"pairs": rows}),
    "robustness_results.json": lambda rows: json.dumps(
        {"bpe": {"per_prompt": [{"prompt_id": 0}]}, "kron": {}, "prompt_pairs": rows}
    ),
    "pairs.jsonl": lambda rows: "\n\n".join(map(json.dumps, rows)) + "\n",
    "pairs.csv": lambda rows: table(rows, ","),
    "semicolons.CSV": lambda rows: table(rows, ";"),
    "pairs.tsv": lambda rows: table(rows, "\t"),
}


def test_every_format() -> None:
    for name in FORMATS:
        second: dict[str, Any] = {
            "category": "time",
            "clean": "One, two; “drei”,",
            "typo": "One, tow; “drei”,",
        }
        data = FORMATS[name]([GOOD, second]).encode()
        expected = (Pair(id="1", **GOOD), Pair(id="2", **second))
        assert parse_pairs(data, name) == PairSet(expected)
        assert parse_pairs(b"\xef\xbb\xbf" + data, name) == PairSet(expected)
        assert parse_pairs(data.replace(b"\n", b"\r\n"), name) == PairSet(expected)


def test_optional_columns() -> None:
    data = b'Typo,CLEAN,expected,ID,note\n"a ""b"" kat",a cat,sat,x1,hm\n'
    pair = Pair("x1", "uncategorised", "a cat", 'a "b" kat', "sat")
    assert parse_pairs(data, "p.csv") == PairSet((pair,))


def test_our_own_file_survives_an_upload_and_json() -> None:
    data = module.OUR_PAIRS.read_bytes()
    assert parse_pairs(data, "mine.jsonl") == OURS
    assert from_json(PairSet, to_json(OURS)) == OURS


def test_a_bad_row_is_named_and_the_good_ones_count() -> None:
    for row, sentence in (
        ('{"clean": "a cat", "typo": ', "Row 2 (line 2): not valid JSON: "),
        ("[" * 100_000, "Row 2 (line 2): not valid JSON: it is nested too deeply."),
        ('{"clean": "a cat"}', "Row 2 (line 2): it has “clean”, but needs “clean”, “typo”"),
        ("{}", "Row 2 (line 2): it has nothing, but needs"),
        ("17", "Row 2 (line 2): it is a number, not an object with “clean”, “typo”."),
        (
            '{"clean": "a cat", "typo": ["b"]}',
            "Row 2 (line 2): “typo” is a list, but must be text.",
        ),
        ('{"clean": null, "typo": "b"}', "Row 2 (line 2): “clean” is null, but must be text."),
        ('{"clean": " ", "typo": "b"}', "Row 2 (line 2): “clean” is empty."),
        (
            '{"clean": "a \\ud800", "typo": "b"}',
            "Row 2 (line 2): “clean” holds a broken character; save",
        ),
        (
            json.dumps({"clean": "a" * 2001, "typo": "b"}),
            "Row 2 (line 2): “clean” has 2,001 characters; the limit is 2,000.",
        ),
        (
            '{"clean": "a", "typo": "b", "edits": 3}',
            "Row 2 (line 2): “edits” must list kind, start,",
        ),
        (
            '{"clean": "a", "typo": "b", "edits": [{"kind": "drop", "start": 0, "end": 1,'
            ' "before": "a", "after": ""}]}',
            "Row 2 (line 2): “edits” do not turn clean into typo.",
        ),
        ('{"clean": ' + "9" * 5000 + "}", "Row 2 (line 2): not valid JSON: Exceeds the limit"),
        ('{"\\ud800\\u0000": 1}', "Row 2 (line 2): it has “\ufffd\ufffd”, but needs"),
    ):
        good = json.dumps(GOOD)
        result = parse_pairs(f"{good}\n{row}\n{good}\n".encode(), "p.jsonl")
        assert [pair.id for pair in result.pairs] == ["1", "3"]
        assert len(result.problems) == 1
        assert result.problems[0].startswith(sentence)
        assert len(result.problems[0]) < 200


def test_a_bad_row_of_a_table() -> None:
    for row, sentence in (
        ("only one cell", "Row 2 (line 3): it has 1 cell where the header has 2."),
        ('a "cat",b,c', "Row 2 (line 3): it has 3 cells where the header has 2."),
        ('"a"cat,b', "Row 2 (line 3): not a row of a table: "),
        (",b", "Row 2 (line 3): “clean” is empty."),
        ("x" * 200_000 + ",b", "Row 2 (line 3): not a row of a table: field larger than"),
    ):
        result = parse_pairs(f"clean,typo\na cat,a kat\n{row}\n\na dog,a dgo\n".encode(), "p.csv")
        assert [(pair.id, pair.clean) for pair in result.pairs] == [("1", "a cat"), ("3", "a dog")]
        assert len(result.problems) == 1
        assert result.problems[0].startswith(sentence)


def test_a_row_in_another_encoding() -> None:
    data = "clean,typo\na café in,a cafe in\na cat,a kat\n".encode("latin-1")
    result = parse_pairs(data, "p.csv")
    assert result.problems == (
        "Row 1 (line 2): “clean” holds a broken character; save the text as UTF-8.",
    )
    assert [pair.clean for pair in result.pairs] == ["a cat"]


def test_a_pair_without_a_typo_is_pointed_out_and_kept() -> None:
    result = parse_pairs(b"clean,typo\nthe sun,the sun\n", "p.csv")
    assert result.problems == ("Row 1 (line 2): clean and typo are the same; it still counts.",)
    assert len(result.pairs) == 1


def test_a_wrong_column() -> None:
    result = parse_pairs(b"clean,misspelled\na cat,a kat\n", "p.csv")
    assert result.pairs == ()
    assert result.problems == (
        "p.csv has the columns “clean”, “misspelled”, but needs “clean”, “typo” (and may have "
        "“category”, “expected” and “id”).",
    )


def test_files_that_cannot_be_used() -> None:
    for name, data, sentence in (
        ("p.json", b"{}", "p.json must hold a list of pairs, alone or under “prompt_pairs”."),
        ("p.json", b"[[[", "p.json is not valid JSON: "),
        ("p.json", b"[" * 100_000, "p.json is not valid JSON: it is nested too deeply."),
        ("p.json", b"[]", "p.json has no rows."),
        ("p.jsonl", b"", "p.jsonl has no rows."),
        ("p.csv", b"clean,typo\n", "p.csv has no rows."),
        ("p.csv", b"\xff\xfec\x00", "p.csv is UTF-16 text; save it as UTF-8."),
        (
            "p.txt",
            b"clean,typo\n",
            "p.txt has no known format; its name must end in .json, .jsonl, .csv or .tsv.",
        ),
        ("p", b"clean,typo\n", "p has no known format; its name must end in .json"),
        ("p.json", b"[" + b" " * 2_000_000 + b"]", "p.json is larger than the limit of 2 MB; "),
        (
            "p.csv.gz",
            gzip.compress(bytes(10**6)),
            "p.csv.gz is an archive or office document (gzip",
        ),
        ("p.csv", gzip.compress(bytes(10**6)), "p.csv is an archive or office document (gzip)"),
    ):
        result = parse_pairs(data, name)
        assert result.pairs == ()
        assert len(result.problems) == 1
        assert result.problems[0].startswith(sentence)


def test_a_zip_bomb_stays_shut() -> None:
    for name in ("bomb.json", "bomb.zip", "bomb.csv"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("pairs.csv", b"clean,typo\n" + b"a,b\n" * 10**7)
        (problem,) = parse_pairs(packed.getvalue(), name).problems
        assert problem.startswith(
            f"{name} is an archive or office document (zip); give a plain .json,"
        )


def test_a_hundred_thousand_rows() -> None:
    rows = b"".join(b"prompt %d is,promt %d is\n" % (i, i) for i in range(100_000))
    result = parse_pairs(b"clean,typo\n" + rows, "many.csv")
    assert len(result.pairs) == module.MAX_ROWS
    assert result.problems == (
        "many.csv is larger than the limit of 2 MB; only the rows up to there are read.",
        "Only the first 5,000 rows are used; the file has more.",
    )
    short = parse_pairs(b"clean,typo\n" + b"a,b\n" * 100_000, "many.csv")
    assert short.problems == result.problems[1:]
    one_line = parse_pairs(b"x" * (module.MAX_BYTES + 1), "many.csv")
    assert one_line.problems == result.problems[:1]


def test_many_problems_are_counted_not_listed() -> None:
    result = parse_pairs(b"\n".join([b"{}"] * 3000 + [json.dumps(GOOD).encode()]), "p.jsonl")
    assert len(result.pairs) == 1
    assert len(result.problems) == module.MAX_PROBLEMS + 1
    assert result.problems[-1] == "There are 2,980 more problems."


def test_load_pairs_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("clean\ttypo\na cat\ta kat\n")
    assert load_pairs(path).pairs == load_pairs(str(path)).pairs != ()
    assert load_pairs(tmp_path / "none.csv").problems == (
        "There is no file none.csv; check its path.",
    )
    assert load_pairs(tmp_path).pairs == ()


@settings(deadline=None)
@given(
    st.binary(max_size=300)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from([*FORMATS, "p.zip", "p"]),
)
def test_no_bytes_crash_it(data: bytes, name: str) -> None:
    result = parse_pairs(data, name)
    assert result.pairs or result.problems
    to_json(result)


keys = st.sampled_from(["clean", "typo", "id", "category", "edits"])
scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text()


@settings(deadline=None)
@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner)))
def test_no_json_crashes_it(found: object) -> None:
    result = parse_pairs(json.dumps([found, GOOD]).encode(), "p.json")
    assert result.pairs[-1] == Pair(id="2", **GOOD)


# -- what the tests measure with ------------------------------------------------------------------


def table(rows: list[dict[str, str]], separator: str) -> str:
    """Rows as a table in which only cells that need it are quoted."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    quoted = [[f'"{cell}"' if re.search("[,;]", cell) else cell for cell in line] for line in lines]
    return "".join(separator.join(line) + "\n" for line in quoted)
