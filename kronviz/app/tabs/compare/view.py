"""A comparison as HTML: the finding in one sentence, the verdict, the tokens, the predictions.

Notable:

- `result` and `refusal` draw the same skeleton with the same number of rows, so that answers can
  follow each other at typing speed without anything on the page moving.
- Bars carry their probability as a custom property; the browser divides by the largest one, which
  is the same for both models, so that their bars can be compared.
- Within an arm clean is hatched and misspelled is solid; each bar has its number beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kronviz.app.components import (
    Markup,
    alert,
    arm_name,
    count,
    element,
    info,
    join,
    listing,
    number,
    piece,
    visible,
)
from kronviz.app.tabs.compare.picture import data as picture_data
from kronviz.arms import ARMS
from kronviz.predictor import ArmComparison, Comparison, NextToken, TokenView
from kronviz.probes.input_words import InputWords

ROWS = 10
ABOUT_AS_MUCH = 0.9
"""Ratio of the smaller to the larger KL from which the two count as equal."""
_DASH = "–"
METRICS = (
    (
        "answer",
        "Right answer",
        "Probability of the right answer’s first token after the clean and after the misspelled "
        "text. Higher is better.",
    ),
    (
        "loss",
        "Loss",
        "Loss on the right answer’s first token, −log P in nats, clean and misspelled. Lower is "
        "better.",
    ),
    (
        "top1",
        "First choice",
        "The most likely next token after each text. The paper calls it top-1 kept when both are "
        "the same.",
    ),
    (
        "kl",
        "Shift (KL)",
        "How far the whole prediction shifted, over every token of the vocabulary: "
        "KL(clean ‖ misspelled), in nats. 0 means no shift; smaller is steadier.",
    ),
    (
        "cosine",
        "Hidden cosine",
        "Cosine of the model’s last hidden states after the clean and the misspelled text. "
        "1 means the same direction; larger is steadier.",
    ),
    (
        "drop",
        "Log-prob drop",
        "How much log-probability, in nats, the clean text’s first choice loses when the text is "
        "misspelled. Below 0 it became more likely; smaller is steadier.",
    ),
)


def result(
    comparison: Comparison,
    sequence: int = 0,
    *,
    inputs: InputWords | None = None,
    overall: Markup | None = None,
) -> Markup:
    """Return the whole answer to one comparison.

    Args:
        comparison: the predictor's result.
        sequence: number of the question on the page, which drops answers older than the one it
            shows.
        inputs: the models' inputs for each word, for the picture.
        overall: a sentence about the result over all pairs.
    """
    farthest = max((arm.metrics.kl_nats for arm in comparison.arms), default=0.0)
    return _page(
        sequence,
        element("p", _headline(comparison), class_="kv-finding", role="status"),
        _verdict([(arm.arm, _scores(arm, farthest)) for arm in comparison.arms]),
        _readings(comparison.clean_tokens, comparison.typo_tokens),
        [(arm.arm, arm.next_tokens) for arm in comparison.arms],
        overall=overall,
        inputs=inputs,
    )


def refusal(
    sentence: str,
    arms: Iterable[str],
    sequence: int = 0,
    *,
    again_s: float | None = None,
    overall: Markup | None = None,
) -> Markup:
    """Return the empty skeleton with one sentence that says what was wrong and what to do.

    Args:
        sentence: the sentence.
        arms: names of the arms.
        sequence, overall: as for `result`.
        again_s: seconds after which the page asks again by itself, if it does.
    """
    names = list(arms)
    return _page(
        sequence,
        alert(sentence),
        _verdict([(name, [_DASH] * len(METRICS)) for name in names]),
        _readings((), ()),
        [(name, ()) for name in names],
        again_s,
        overall=overall,
    )


def _page(
    sequence: int,
    finding: Markup,
    verdict: Markup,
    readings: Markup,
    predictions: Sequence[tuple[str, Sequence[NextToken]]],
    again_s: float | None = None,
    *,
    overall: Markup | None = None,
    inputs: InputWords | None = None,
) -> Markup:
    top = max(
        (max(t.clean_prob, t.typo_prob) for _, tokens in predictions for t in tokens), default=1.0
    )
    panels = [_predictions(arm, tokens) for arm, tokens in predictions]
    return element(
        "div",
        element("div", finding, overall or "", verdict, class_="kv-summary"),
        readings,
        element("div", *panels, class_="kv-arms"),
        class_="kv-result",
        data_seq=sequence,
        data_again=None if again_s is None else f"{again_s:.1f}",
        data_title="comparison",
        style=f"--top: {top:.6f}",
        **(picture_data(inputs) if inputs else {}),
    )


def _headline(comparison: Comparison) -> Markup:
    arms = comparison.arms
    if comparison.clean == comparison.typo:
        choices = listing(
            [join([arm_name(a.arm), " says ", _token(a.clean_top.hex)]) for a in arms], ", "
        )
        hint = ". Misspell one to see whose prediction holds up."
        return join(["Both texts are the same: ", choices, hint])
    asked = [arm.answer for arm in arms]
    right = next((answer for answer in asked if answer), None)
    if right is not None:
        parts = [join(["P(", _token(right.hex), "): "])]
        said = [join([arm_name(arm.arm), " ", moved(arm.answer)]) for arm in arms if arm.answer]
    else:
        parts = [Markup("Each model’s own first choice: ")]
        said = [
            join([arm_name(arm.arm), " ", _token(arm.clean_top.hex), " ", moved(arm.clean_top)])
            for arm in arms
        ]
    parts.append(listing(said, ", "))
    if len(arms) == 1:
        return join([*parts, "."])
    steadier, other = sorted(arms, key=lambda arm: arm.metrics.kl_nats)[:2]
    if steadier.metrics.kl_nats > ABOUT_AS_MUCH * other.metrics.kl_nats:
        if len(arms) == 2:
            return join([*parts, ". Both predictions shifted about equally."])
        least = arm_name(steadier.arm), " and ", arm_name(other.arm)
        return join([*parts, ". ", *least, " shifted least, about equally."])
    degree = "less" if len(arms) == 2 else "least"
    return join([*parts, ". ", arm_name(steadier.arm), f"’s prediction shifted {degree}."])


def moved(next_token: NextToken) -> Markup:
    """Return a token's probability, clean → misspelled: ``30% → 3%``."""
    return join([chance(next_token.clean_prob), " → ", chance(next_token.typo_prob)])


def chance(share: float) -> Markup:
    """Return a probability with enough digits to show that it is not 0."""
    return number(share, 0 if share >= 0.095 else 1 if share >= 0.00095 else 2, percent=True)


def _token(data_hex: str) -> Markup:
    return piece(bytes.fromhex(data_hex))


def _scores(arm: ArmComparison, farthest: float) -> list[Markup]:
    metrics = arm.metrics
    if metrics.top1_kept:
        first = join([_sign("=", "kept"), " ", _token(arm.clean_top.hex)])
    else:
        first = join(
            [
                _sign("≠", "changed"),
                " ",
                _token(arm.clean_top.hex),
                element("span", " → ", class_="kv-quiet"),
                _token(arm.typo_top.hex),
            ]
        )
    answer = arm.answer
    return [
        moved(answer) if answer else Markup(_DASH),
        _losses(answer) if answer else Markup(_DASH),
        first,
        _moved(metrics.kl_nats, farthest),
        number(metrics.hidden_cosine, 3),
        join([number(metrics.logprob_drop_nats, 3), _unit("nats")]),
    ]


def _losses(answer: NextToken) -> Markup:
    sides = [-math.log(max(share, 1e-30)) for share in (answer.clean_prob, answer.typo_prob)]
    return join([number(sides[0], 2), " → ", number(sides[1], 2), _unit("nats")])


def _moved(kl_nats: float, farthest: float) -> Markup:
    """Return a KL with a bar, scaled to the larger KL."""
    share = max(kl_nats, 0.0) / farthest if farthest > 0 else 0.0
    return join(
        [
            element("span", number(kl_nats, 3), _unit("nats"), class_="kv-moved-number"),
            element(
                "span",
                element("span", style=f"--p: {share:.4f}"),
                class_="kv-moved",
                aria_hidden="true",
            ),
        ]
    )


def _sign(sign: str, meaning: str) -> Markup:
    return element(
        "span",
        element("span", sign, aria_hidden="true", class_="kv-sign"),
        element("span", meaning, class_="kv-word"),
        class_=f"kv-top-{meaning}",
    )


def _unit(unit: str) -> Markup:
    return element("span", f" {unit}", class_="kv-unit")


def _verdict(rows: Sequence[tuple[str, Sequence[object]]]) -> Markup:
    head = [element("span", "Model", role="columnheader", class_="kv-cell kv-corner")]
    head += [
        element(
            "span",
            element("span", name),
            info(f"kv-tip-{key}", name, explanation),
            role="columnheader",
            class_="kv-cell",
        )
        for key, name, explanation in METRICS
    ]
    body = [
        element(
            "div",
            element("span", arm_name(arm), role="rowheader", class_="kv-cell"),
            *[
                element("span", value, role="cell", class_=f"kv-cell kv-score kv-score-{metric[0]}")
                for metric, value in zip(METRICS, values, strict=True)
            ],
            role="row",
            class_="kv-line",
            data_arm=arm,
        )
        for arm, values in rows
    ]
    return element(
        "div",
        element("div", *head, role="row", class_="kv-line"),
        *body,
        role="table",
        aria_label="Verdict: how much each model’s prediction moved",
        class_="kv-verdict",
    )


def _readings(clean: Sequence[TokenView], typo: Sequence[TokenView]) -> Markup:
    return element(
        "section",
        element(
            "h2",
            "What the models read",
            info(
                "kv-tip-tokens",
                "shown here",
                "All models get the same tokens. bpe sees only which token it is; kron also sees "
                "the bytes. Marked bytes differ from the other text. Point at a token, or move "
                "through them with the arrow keys, for its id and bytes.",
            ),
            class_="kv-heading",
        ),
        _reading("Clean", clean),
        _reading("Misspelled", typo),
        class_="kv-readings",
    )


def _reading(name: str, tokens: Sequence[TokenView]) -> Markup:
    length = count(len(tokens), "token") if tokens else _DASH
    chips = [_chip(view, first=index == 0) for index, view in enumerate(tokens)]
    return element(
        "div",
        element(
            "span", name, element("span", f" {length}", class_="kv-quiet"), class_="kv-reading-name"
        ),
        element("div", *chips, role="list", aria_label=f"{name} tokens", class_="kv-chips"),
        class_="kv-reading",
    )


def _chip(view: TokenView, *, first: bool) -> Markup:
    data = bytes.fromhex(view.hex)
    spoken = f"{view.text}, token {view.id}, bytes {data.hex(' ')}"
    if view.changed:
        spoken += f", {len(view.changed)} changed"
    if view.gaps:
        spoken += ", letters missing"
    return element(
        "span",
        element("bdi", visible(data, view.changed, view.gaps)),
        role="listitem",
        tabindex="0" if first else "-1",
        class_="kv-chip kv-chip-changed" if view.changed or view.gaps else "kv-chip",
        aria_label=spoken,
        data_id=view.id,
        data_hex=data.hex(" "),
    )


def _predictions(arm: str, tokens: Sequence[NextToken]) -> Markup:
    rows = [_row(tokens[index] if index < len(tokens) else None) for index in range(ROWS)]
    return element(
        "section",
        element(
            "h2",
            arm_name(arm),
            element("span", f" {ARMS[arm].about}", class_="kv-quiet"),
            class_="kv-heading",
        ),
        element(
            "table",
            element("caption", f"{arm}: the ten likeliest next tokens", class_="kv-hidden"),
            element("colgroup", *[element("col", class_=f"kv-col-{n}") for n in "tbn"]),
            element(
                "thead",
                element(
                    "tr",
                    element("th", "Next token", scope="col"),
                    element(
                        "th",
                        element("span", class_="kv-key kv-key-clean", aria_hidden="true"),
                        "clean ",
                        element("span", class_="kv-key kv-key-typo", aria_hidden="true"),
                        "misspelled",
                        scope="col",
                        colspan=2,
                        data_csv="clean|misspelled",
                    ),
                ),
            ),
            element("tbody", *rows),
            class_="kv-bars",
        ),
        class_="kv-panel",
        data_arm=arm,
    )


def _row(token_: NextToken | None) -> Markup:
    if token_ is None:
        label, clean, typo = Markup("&nbsp;"), 0.0, 0.0
        words: tuple[object, object] = (_DASH, _DASH)
    else:
        label, clean, typo = _token(token_.hex), token_.clean_prob, token_.typo_prob
        words = (number(clean, 1, percent=True), number(typo, 1, percent=True))
    first = [
        name
        for name, rank in (
            ("clean", token_.clean_rank if token_ else 0),
            ("typo", token_.typo_rank if token_ else 0),
        )
        if rank == 1
    ]
    tip = f"rank {token_.clean_rank:,} → {token_.typo_rank:,}" if token_ else None
    return element(
        "tr",
        element(
            "th",
            label,
            scope="row",
            data_id=token_.id if token_ else None,
            data_hex=token_.hex if token_ else None,
            data_note=tip,
        ),
        element(
            "td",
            element("span", class_="kv-bar kv-bar-clean", style=f"--p: {clean:.6f}"),
            element("span", class_="kv-bar kv-bar-typo", style=f"--p: {typo:.6f}"),
            aria_hidden="true",
            class_="kv-track",
        ),
        element(
            "td",
            element("span", words[0], class_="kv-first" if "clean" in first else None),
            element("span", words[1], class_="kv-first" if "typo" in first else None),
            class_="kv-numbers",
        ),
    )
