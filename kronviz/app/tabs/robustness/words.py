"""One sentence as HTML: which of its words matter, and the effect of a misspelling further on.

Notable:

- A tint is the square root of a KL relative to the largest of both models, so that small ones are
  visible and models can be compared; every tint has its number below it.
- Words are buttons: the chosen one is misspelled in the strip.
"""

from __future__ import annotations

import math

from kronviz.app.components import (
    DASH,
    Markup,
    arm_name,
    count,
    downloads,
    element,
    escape,
    join,
    listing,
    marked,
    percent,
    piece,
    sentence,
    told,
    visible,
    written,
)
from kronviz.probes.recovery import RecoveryStrip, StripToken
from kronviz.probes.sensitivity import Sensitivity, WordHurt
from kronviz.probes.tables import sensitivity_rows, strip_rows

TINT = 46


def words_view(report: Sensitivity, chosen: int) -> Markup:
    """Return the sentence once per model, each word tinted by the effect of misspelling it.

    Args:
        chosen: index of the word that the strip misspells.
    """
    top = max((arm.kl_nats for word in report.words for arm in word.arms), default=0.0)
    return element(
        "div",
        element("p", _finding(report), class_="kv-finding", role="status"),
        _so_far(report),
        *[
            element(
                "div",
                element("h3", arm_name(choice.arm), _says(choice.clean_top), class_="kv-heading"),
                element(
                    "p",
                    *_sentence(report, choice.arm, top, chosen),
                    class_="kv-hurts",
                    data_arm=choice.arm,
                    dir="auto",
                ),
                class_="kv-lab-arm",
            )
            for choice in report.arms
        ],
        element(
            "p",
            "Below each word: KL at the end of the sentence, in nats, when that word alone is "
            "misspelled, a mean of a few tries. Choose a word to follow it below.",
            class_="kv-caption kv-wide",
        ),
        downloads("words", report, sensitivity_rows(report)) if report.words else "",
        class_="kv-lab-result",
    )


def strip_view(strip: RecoveryStrip) -> Markup:
    """Return the misspelled sentence once per model, each token tinted by the effect on it."""
    arms = next(([arm.arm for arm in t.arms] for t in strip.tokens if t.arms), [])
    after = [t for t in strip.tokens if t.later is not None]
    top = max((arm.kl_nats for t in after for arm in t.arms), default=0.0)
    return element(
        "div",
        element("p", *_felt(strip, arms), class_="kv-lab-line", role="status"),
        *[
            element(
                "div",
                element("h3", arm_name(arm), class_="kv-heading"),
                element(
                    "p",
                    *[_token(token, index, top) for token in strip.tokens],
                    class_="kv-strip-row",
                    data_arm=arm,
                    dir="auto",
                ),
                class_="kv-lab-arm",
            )
            for index, arm in enumerate(arms)
        ],
        element(
            "p",
            "Below each token: KL between the prediction after it and the prediction at the same "
            f"place of the clean text, in nats. {DASH}: no token of the clean text ends there.",
            class_="kv-caption kv-wide",
        ),
        downloads("strip", strip, strip_rows(strip)),
        class_="kv-lab-result",
    )


def _so_far(report: Sensitivity) -> Markup:
    if report.measured == len(report.words):
        return Markup("")
    return element(
        "p",
        f"Measured so far, from the front: {report.measured} of {len(report.words)} words. "
        "“Measure every word” goes through the whole text.",
        class_="kv-quiet",
    )


def _finding(report: Sensitivity) -> Markup:
    parts = []
    for choice in report.arms:
        hurt = [
            (arm.kl_nats, word)
            for word in report.words
            for arm in word.arms
            if arm.arm == choice.arm
        ]
        if hurt:
            kl, word = max(hurt, key=lambda entry: entry[0])
            parts.append(
                sentence(
                    [
                        arm_name(choice.arm),
                        " most at ",
                        piece(word.word.encode()),
                        f" ({written(kl, 2)} nats)",
                    ]
                )
            )
    if not parts and report.measured < len(report.words):
        return Markup("No word has been measured yet.")
    if not parts:
        return Markup("No word of this text could be misspelled; type a longer one.")
    begin = "So far, a typo hurts " if report.measured < len(report.words) else "A typo hurts "
    return join([begin, listing(parts), "."])


def _says(top: str) -> Markup:
    return join([" continues with ", piece(top.encode())])


def _sentence(report: Sensitivity, arm: str, top: float, chosen: int) -> list[object]:
    parts: list[object] = []
    end = 0
    for index, word in enumerate(report.words):
        between = report.text[end : word.start]
        if between.strip():
            parts.append(element("span", between.strip(), class_="kv-between"))
        parts.append(_word(word, index, arm, top, chosen))
        end = word.end
    rest = report.text[end:].strip()
    return [*parts, element("span", rest, class_="kv-between") if rest else ""]


def _word(word: WordHurt, index: int, arm: str, top: float, chosen: int) -> Markup:
    hurt = next((entry for entry in word.arms if entry.arm == arm), None)
    if hurt is None:
        said = join([word.word, ": cannot be misspelled in these ways."])
        shown = DASH
    else:
        said = sentence(
            [
                escape(f"{word.word}, misspelled as {', '.join(word.variants)}"),
                f": {arm} moves by {written(hurt.kl_nats)} nats and keeps its first choice in "
                f"{percent(hurt.top1_kept)} of the tries.",
            ]
        )
        shown = written(hurt.kl_nats, 2)
    return told(
        join([element("bdi", visible(word.word.encode())), element("small", marked(shown))]),
        said,
        role="button",
        class_="kv-hurt",
        data_word=index + 1,
        aria_pressed="true" if index == chosen else "false",
        style=_tint(hurt.kl_nats if hurt else 0.0, top),
    )


def _felt(strip: RecoveryStrip, arms: list[str]) -> list[object]:
    parts = []
    for index, arm in enumerate(arms):
        felt = [t.arms[index].kl_nats for t in strip.tokens if t.later is not None and t.arms]
        if felt:
            parts.append(
                sentence(
                    [
                        arm_name(arm),
                        f" starts at {written(felt[0], 2)} and ends at {written(felt[-1], 2)}",
                    ]
                )
            )
    if not parts:
        return ["Both texts are the same, so there is nothing to recover from."]
    return [piece(strip.typo.encode()), " – ", listing(parts, "; "), " nats."]


def _token(token: StripToken, index: int, top: float) -> Markup:
    shown = visible(bytes.fromhex(token.token.hex), token.token.changed)
    text = token.token.text
    if not token.arms:
        said, value, tint = (
            join([text, ": inside the misspelled word, nothing to compare with."]),
            DASH,
            0.0,
        )
    else:
        tint = token.arms[index].kl_nats
        value = written(tint, 2)
        where = "before the misspelling"
        if token.later is not None:
            later = count(token.later, "token")
            where = f"{later} after the misspelling" if token.later else "right after it"
        said = sentence([escape(text), f", {where}: {written(tint)} nats."])
    return told(
        join([element("bdi", shown), element("small", marked(value))]),
        said,
        class_="kv-felt" if token.arms else "kv-felt kv-felt-none",
        style=_tint(tint, top),
    )


def _tint(value: float, top: float) -> str:
    return f"--tint: {TINT * math.sqrt(value / top) if top > 0 else 0:.1f}%"
