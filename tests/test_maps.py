"""Maps: neighbours and faithfulness against scikit-learn, layouts and files that repeat."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from small import draw_quickly, small_model
from umap.umap_ import smooth_knn_dist

from kronviz import codec
from kronviz.checkpoint import save_arm
from kronviz.checkpoint_files import PAIR
from kronviz.maps import layout, nearest, store
from kronviz.maps.columns import CASES, SCRIPTS, columns
from kronviz.maps.faithfulness import faithfulness
from kronviz.maps.fresh import lay_out_words
from kronviz.maps.lookup import distances, family_figures, look_up, place_words
from kronviz.maps.spaces import Codes, Vectors, ask, contents, space_of, spaces
from kronviz.maps.store import MapError, draw_map, map_file, near, read_map, write_map
from kronviz.maps.umap_layout import main_axes
from kronviz.maps.words import MAX_WORDS, RULES, members, variants
from kronviz.predictor import InputError, Predictor
from kronviz.results import from_json, to_json
from kronviz.tokenizer import load_tokenizer


def blobs(count: int = 60, seed: int = 0) -> np.ndarray:
    """Three groups of vectors in twelve dimensions, in turn."""
    chance = np.random.default_rng(seed)
    centres = 4 * chance.normal(size=(3, 12))
    return centres[np.arange(count) % 3] + chance.normal(size=(count, 12))


@pytest.fixture(scope="module")
def drawn(small_predictor: Predictor) -> Predictor:
    """The small pair, with both maps of the page drawn."""
    draw_quickly(small_predictor, "bpe", "kron")
    return small_predictor


def test_nearest_are_those_of_scikit_learn() -> None:
    vectors = blobs()
    found = nearest(vectors, 5)
    oracle = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(vectors)
    apart, ids = oracle.kneighbors()
    assert (found.ids == ids).mean() > 0.99
    assert np.allclose(1 - found.similarity, apart, atol=1e-5)


def test_nearest_says_what_k_can_be() -> None:
    for k in (0, 60, -1):
        with pytest.raises(ValueError, match="1 to 59"):
            nearest(blobs(), k)


def test_layout_is_the_same_every_time_and_keeps_groups() -> None:
    vectors = blobs()
    shares: list[float] = []
    first = layout(vectors, progress=lambda step: shares.append(step.share))
    assert first.dtype == np.float32
    assert first.shape == (60, 2)
    assert smooth_knn_dist.stats.cache_path, "its machine code is not kept on disk"
    assert np.array_equal(first, layout(vectors))
    assert not np.array_equal(first, layout(vectors, seed=2))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    _, ids = NearestNeighbors(n_neighbors=5).fit(first).kneighbors()
    assert (ids % 3 == np.arange(60)[:, None] % 3).mean() > 0.95


def test_vectors_that_may_be_overwritten_are_not_copied() -> None:
    plain, working = (blobs().astype(np.float32) for _ in range(2))
    near = nearest(plain, 5)
    assert np.array_equal(nearest(working, 5, overwrite=True).ids, near.ids)
    assert np.linalg.norm(working, axis=1) == pytest.approx(1)
    start = main_axes(plain)
    assert main_axes(working, overwrite=True) == pytest.approx(start, abs=1e-3)
    assert np.abs(working.mean(0)).max() < 1e-6
    assert np.array_equal(plain, blobs().astype(np.float32))


def test_layout_of_few() -> None:
    for count in (0, 1, 2, 3, 5):
        assert np.isfinite(layout(blobs(60)[:count])).all()


def test_layout_of_what_is_all_alike() -> None:
    assert np.isfinite(layout(np.ones((20, 4)))).all()
    assert np.isfinite(layout(np.zeros((20, 4)))).all()


def test_layout_refuses_what_is_no_table() -> None:
    with pytest.raises(ValueError, match="finite"):
        layout(np.full((9, 2), np.nan))
    with pytest.raises(ValueError, match="shape"):
        layout(np.zeros(9))
    with pytest.raises(ValueError, match="neighbors"):
        layout(blobs(), neighbors=1)


def test_faith_is_that_of_scikit_learn() -> None:
    for noise in (0.0, 3.0):
        vectors = blobs(90)
        content = Vectors(torch.tensor(vectors, dtype=torch.float32))
        chance = np.random.default_rng(1)
        flat = vectors[:, :2] + noise * chance.normal(size=(90, 2))
        found = faithfulness(content, flat, k=7)
        centred = vectors - vectors.mean(0)
        expected = trustworthiness(centred, flat, n_neighbors=7, metric="cosine")
        assert found.trustworthiness == pytest.approx(expected, abs=2e-3)
        space = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(centred)
        picture = NearestNeighbors(n_neighbors=7).fit(flat)
        pairs = zip(space.kneighbors()[1], picture.kneighbors()[1], strict=True)
        overlap = np.mean([len({*a} & {*b}) / 7 for a, b in pairs])
        assert found.overlap == pytest.approx(overlap, abs=2e-3)


def test_neighbours_in_the_code_are_those_of_its_closed_form() -> None:
    content = Codes("r50k_base:300", 16)
    found = near(content, 5, None)
    packed = load_tokenizer("r50k_base:300").vocabulary
    similar = np.array(
        [[codec.similarity(packed[a], packed[b], 16) for b in range(300)] for a in range(280, 300)]
    )
    similar[np.arange(20), np.arange(280, 300)] = -1
    assert np.allclose(-np.sort(-similar, 1)[:, :5], found.similarity[280:300], atol=1e-6)


def test_every_space_asks_a_token_as_it_stands_there(small_predictor: Predictor) -> None:
    token = small_predictor.tokenizer.encode(" the")[0]
    for space in spaces(small_predictor):
        content = contents(small_predictor, space)
        similar = content.similarities(ask(small_predictor, space, [b" the"]).vectors)
        assert similar[0, token] == pytest.approx(1, abs=1e-4), space.name
        assert similar[0].argmax() == token


def test_several_tokens_are_a_mean_in_bpe_and_bytes_in_kron(drawn: Predictor) -> None:
    found = look_up("qwertzuiop", drawn)
    bpe, kron = found.sides
    assert (bpe.standing.basis, kron.standing.basis) == ("mean", "bytes")
    ids = drawn.tokenizer.encode("qwertzuiop")
    content = contents(drawn, space_of(drawn, "bpe"))
    assert isinstance(content, Vectors)
    mean = content.own(ids).mean(0)
    expected = torch.nn.functional.cosine_similarity(mean[None], content.rows).topk(10)
    assert [one.id for one in bpe.standing.neighbors] == expected.indices.tolist()
    assert 0 <= bpe.standing.x <= 1  # type: ignore[operator]


def test_a_token_stands_on_its_own_point(drawn: Predictor) -> None:
    found = look_up(" the", drawn)
    token = drawn.tokenizer.encode(" the")[0]
    for side in found.sides:
        place = read_map(drawn, side.space).unit[token]
        assert (side.standing.x, side.standing.y) == pytest.approx(tuple(place))
        assert side.standing.token == token
        assert token not in [one.id for one in side.standing.neighbors]
        assert 0 <= (side.standing.kept or 0) <= 10
    assert look_up(f"#{token}", drawn).text == " the"
    assert look_up(r"\xe2", drawn).hex == "e2"
    assert from_json(type(found), to_json(found)) == found


def test_a_family_is_forms_relatives_and_byte_neighbours() -> None:
    found, relatives = members(b" nation", "r50k_base", 16)
    by = {kind: [one.text for one in found if one.relation == kind] for kind in
          ("typographic", "morphological", "byte")}  # fmt: skip
    assert "nation" in by["typographic"]
    assert " nations" in by["morphological"]
    assert len(by["byte"]) == 10
    assert relatives >= len(by["typographic"]) + len(by["morphological"])


def test_words_are_placed_and_measured(drawn: Predictor) -> None:
    words = ["the", " the", "teh", "the", "krokodil"]
    placed = place_words(words, drawn)
    assert placed.words == ("the", " the", "teh", "krokodil")
    for side in placed.sides:
        assert len(side.standings) == 4
        assert side.shares.typographic + side.shares.morphological + side.shares.other == (
            pytest.approx(1)
        )
    apart = distances(words, drawn, "code", "kron")
    expected = 1 - codec.similarity(b"the", b"teh", 16)
    assert apart.left[0][2] == pytest.approx(expected, abs=1e-3)
    assert apart.right[1][3] == apart.right[3][1]


def test_odd_words_are_refused_in_a_sentence(drawn: Predictor) -> None:
    for ask_ in (
        lambda: place_words([], drawn),
        lambda: place_words(["a"] + [f"w{i}" for i in range(MAX_WORDS)], drawn),
        lambda: place_words("run", drawn),  # type: ignore[arg-type]
        lambda: place_words(["x" * 500], drawn),
        lambda: look_up("", drawn),
        lambda: look_up("#99999", drawn),
        lambda: look_up("#00000000000000300", drawn),
        lambda: look_up("run", drawn, left="nowhere"),
        lambda: look_up("run", drawn, k=0),
        lambda: look_up(b"\xff\xfe\x00", drawn),
        lambda: lay_out_words(["a", "b"], drawn),
        lambda: variants("run", ["backwards"]),
    ):
        with pytest.raises(InputError, match=r"[.]$"):
            ask_()


def test_words_are_laid_out_afresh_with_progress(drawn: Predictor) -> None:
    shares: list[float] = []
    words = [" run", "run", "runs", "running", "nation", "nations"]
    found = lay_out_words(words, drawn, progress=lambda step: shares.append(step.share))
    assert shares == sorted(shares)
    assert shares
    for side in found.sides:
        assert len(side.points) == 6
        assert np.min(side.points) >= 0
        assert np.max(side.points) <= 1


def test_variants_follow_their_rules() -> None:
    made = variants("run")
    assert {"run", "Run", "RUN", " run", ".run", "run,", "runs", "running", "runned"} <= {*made}
    assert made == variants("run")
    assert variants("code", ["past", "ing"]) == ("code", "coded", "coding")
    assert "builded" in variants("build", ["past"])
    assert len(variants("nation", ["typos"])) > 5
    assert set(RULES) == {"case", "space", "punctuation", "plural", "past", "ing", "typos"}


def test_families_have_figures_in_both_arms(tiny_predictor: Predictor) -> None:
    for space in ("bpe", "kron"):
        found = family_figures(tiny_predictor, space)
        assert {one.family for one in found} >= {"run", "nation", "act", "build"}
        assert all(0 <= one.in_family <= 1 and one.tokens for one in found)


def test_columns_say_what_a_token_is() -> None:
    found = columns("r50k_base:1024")
    tokenizer = load_tokenizer("r50k_base:1024")

    def of(text: str) -> tuple[int, str, str]:
        (token,) = tokenizer.encode(text)
        return found.space[token], CASES[found.case[token]], SCRIPTS[found.script[token]]

    assert of(" the") == (1, "lower", "Latin")
    assert of("The") == (0, "Capital", "Latin")
    assert of("0") == (0, "no letters", "digits")
    assert of(".") == (0, "no letters", "signs")
    assert SCRIPTS[found.script[tokenizer.encode("я")[0]]] in ("Cyrillic", "no text")


def test_the_same_weights_give_the_same_file(small_predictor: Predictor, tmp_path: Path) -> None:
    """By UMAP, as the maps that ship."""
    first, second = (
        write_map(small_predictor, draw_map(small_predictor, "kron"), tmp_path / name)
        for name in "ab"
    )
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 10_000


def test_a_map_of_other_weights_is_refused_and_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "lay_out", lambda found, start, *rest: start)
    folder = tmp_path / "changed"
    for arm in PAIR:
        save_arm(small_model(arm, seed=1), folder / arm)
    before = Predictor.load(folder, device="cpu")
    with pytest.raises(MapError, match="not been drawn"):
        read_map(before, "kron", tmp_path)
    stored = write_map(before, draw_map(before, "kron"), tmp_path)
    assert read_map(before, "kron", tmp_path).facts.tokens == 1025
    for arm in PAIR:
        save_arm(small_model(arm, seed=2), folder / arm)
    after = Predictor.load(folder, device="cpu")
    with pytest.raises(MapError, match="other weights"):
        read_map(after, "kron", tmp_path)
    draw_map(after, "kron")
    assert not read_map(after, "kron", tmp_path).stored
    broken = map_file(after, space_of(after, "bpe"), tmp_path)
    broken.write_bytes(stored.read_bytes()[:40])
    with pytest.raises(MapError, match="damaged"):
        read_map(after, "bpe", tmp_path)


def test_a_map_that_two_ask_for_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {arm: small_model(arm, seed=5) for arm in PAIR}
    prints = dict.fromkeys(PAIR, "of-no-file")
    predictor = Predictor("asked by two", arms, fingerprints=prints)
    begun, go_on, drawings = threading.Event(), threading.Event(), []
    draw = store._draw

    def slowly(*arguments: Any) -> store.Map:
        drawings.append(arguments)
        begun.set()
        assert go_on.wait(30)
        return draw(*arguments)

    monkeypatch.setattr(store, "_draw", slowly)
    monkeypatch.setattr(store, "lay_out", lambda found, start, *rest: start)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.map_of, predictor, "kron")
        assert begun.wait(30)
        second = pool.submit(store.map_of, predictor, "kron")
        go_on.set()
        assert first.result(30) is second.result(30)
    assert len(drawings) == 1


def test_the_shipped_maps_are_of_the_shipped_weights(tiny_predictor: Predictor) -> None:
    for space in spaces(tiny_predictor):
        if not space.whole:
            found = read_map(tiny_predictor, space.name)
            assert len(found.points) == tiny_predictor.tokenizer.n_vocab
            assert found.facts.faithfulness.trustworthiness > 0.8
