"""The probe on the command line: its results as printed lines and as flat tables."""

from __future__ import annotations

from collections.abc import Iterator

from kronviz.probes.inside.damage import Outcome
from kronviz.probes.inside.report import BYTES, ArmInside, Inside
from kronviz.probes.inside.survey import Survey

PLACES = {
    "word": "stream at the misspelled word",
    "last": "stream at the last token",
    "attention": "attention at the misspelled word",
    "mlp": "MLP at the misspelled word",
}
MEASURES = ("kl", "logprob")


def lines(result: Inside) -> Iterator[str]:
    """Yield the figures of a result, for printing."""
    heads = [_written(result, word.clean, "clean") for word in result.words]
    for word, clean in zip(result.words, heads, strict=True):
        if word.changed:
            pieces = [result.typo_tokens[i].text for i in range(*word.typo)]
            yield f"{clean.strip()} became {' | '.join(pieces)}"
    for arm in result.arms:
        yield (
            f"{arm.arm}: clean says {arm.clean.guesses[0].text!r}, misspelled "
            f"{arm.typo.guesses[0].text!r}, KL {arm.typo.kl_nats:.4f} nats"
        )
        for patched in arm.maps:
            if patched.thing == "head":
                yield "  head: " + ", ".join(_best_heads(result, arm))
                continue
            yield f"  {patched.thing}, share of the damage undone (KL), by block and word"
            yield "  " + " ".join(f"{head.strip()[:8]:>8}" for head in ("", *heads))
            for block, row in enumerate(patched.outcomes, 1):
                cells = " ".join(f"{_share(outcome):>8}" for outcome in row)
                yield f"  {block:>8} {cells}"
        if arm.attribution:
            shares = " ".join(
                f"{bytes([byte.byte]).decode('latin-1')!r} {byte.kl_nats:+.3f}"
                for byte in arm.attribution.bytes
            )
            yield f"  {BYTES}, nats of KL: {shares}"
        if arm.joining:
            best = ", ".join(f"{h.block}.{h.head} ({h.share:.0%})" for h in arm.joining)
            yield f"  heads (block.head) that join the pieces: {best}"
    yield f"{result.seconds:.2f} s"


def rows(result: Inside) -> list[dict[str, object]]:
    """Return one row for each patch: a thing, a block (and head) and a word of an arm."""
    table: list[dict[str, object]] = []
    for arm in result.arms:
        for patched in arm.maps:
            for place, row in enumerate(patched.outcomes):
                block, head = divmod(place, arm.heads) if patched.thing == "head" else (place, None)
                for word, outcome in zip(result.words, row, strict=True):
                    table.append(
                        {
                            "arm": arm.arm,
                            "thing": patched.thing,
                            "block": block + 1,
                            "head": "" if head is None else head + 1,
                            "clean": _written(result, word.clean, "clean"),
                            "typo": _written(result, word.typo, "typo"),
                            "kl_nats": outcome.kl_nats,
                            "kl_undone": outcome.kl_undone,
                            "logprob_nats": outcome.logprob_nats,
                            "logprob_undone": outcome.logprob_undone,
                            "first_choice": outcome.guesses[0].text,
                            "probability": outcome.guesses[0].prob,
                        }
                    )
    return table


def survey_lines(result: Survey) -> Iterator[str]:
    """Yield the figures of a survey, for printing."""
    yield from result.problems
    yield (
        f"pair {result.pair}, {result.used} of {result.asked} pairs used, seed {result.seed}; "
        "share of the damage undone, by block"
    )
    for arm in result.arms:
        yield f"{arm.arm}: mean KL {arm.damage_kl_nats.mean:.4f} nats"
        for place in arm.places:
            shares = " ".join(f"{share.mean:7.1%}" for share in place.shares)
            yield f"  {PLACES[place.place]:34} {shares}"
        best = ", ".join(f"{head.block}.{head.head} ({head.share:.0%})" for head in arm.joining)
        yield f"  heads (block.head) that join the pieces: {best or 'no word is in pieces'}"
    for difference in result.differences:
        yield f"{difference.arm} − {difference.other}, points [95% interval]"
        for place in difference.places:
            shares = " ".join(
                f"{100 * s.mean:+.1f} [{100 * s.low:+.1f}, {100 * s.high:+.1f}]"
                for s in place.shares
            )
            yield f"  {PLACES[place.place]:34} {shares}"
    yield f"{result.seconds:.1f} s"


def survey_rows(result: Survey) -> list[dict[str, object]]:
    """Return one row for each place and block of an arm, or of a difference between two."""
    named = [(arm.arm, arm.places) for arm in result.arms]
    named += [(f"{d.arm} − {d.other}", d.places) for d in result.differences]
    return [
        {
            "arm": name,
            "place": place.place,
            "block": block,
            "share_undone": share.mean,
            "low": share.low,
            "high": share.high,
        }
        for name, places in named
        for place in places
        for block, share in enumerate(place.shares, 1)
    ]


def _share(outcome: Outcome) -> str:
    return "–" if outcome.kl_undone is None else f"{outcome.kl_undone:.1%}"


def _written(result: Inside, span: tuple[int, int], text: str) -> str:
    return "".join(token.text for token in getattr(result, f"{text}_tokens")[slice(*span)])


def _best_heads(result: Inside, arm: ArmInside, most: int = 5) -> Iterator[str]:
    """Yield the heads whose outputs undo most of the damage at some word."""
    patched = arm.map("head")
    assert patched is not None
    cells = [
        (outcome.kl_undone, place, word)
        for place, row in enumerate(patched.outcomes)
        for word, outcome in zip(result.words, row, strict=True)
        if outcome.kl_undone is not None
    ]
    for share, place, word in sorted(cells, key=lambda cell: -cell[0])[:most]:
        block, head = divmod(place, arm.heads)
        at = _written(result, word.typo, "typo").strip()
        yield f"{block + 1}.{head + 1} at {at} {share:.1%}"
