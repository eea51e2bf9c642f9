"""Curves as HTML: a small picture for each kind of misspelling, and forgetting in words.

Notable:

- All small pictures share one scale, so that kinds can be compared at a glance.
- Each uses the style sheet's colours and has its numbers as an accessible name.
"""

from __future__ import annotations

from kronviz.app.components import (
    METRIC_NAMES,
    Markup,
    arm_name,
    count,
    direction,
    downloads,
    element,
    join,
    label,
    listing,
    made_by,
    marked,
    number,
    problems,
    progress,
    written,
)
from kronviz.probes.recovery import Recovery, RecoveryArm
from kronviz.probes.sweep import Sweep, SweepPoint
from kronviz.probes.tables import recovery_rows, sweep_rows
from kronviz.typos import KINDS

MOST_NAMED = 6
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 200, 112, 34, 18, 8, 8


def sweep_view(result: Sweep, metric: str, command: str = "") -> tuple[Markup, Markup]:
    """Return what stands below a sweep's chart, curves and downloads, and above it, its finding.

    Args:
        command: the command that made the run, if it was stored with the weights.
    """
    below = element(
        "div",
        element(
            "p",
            f"{METRIC_NAMES[metric][0]} by the number of misspellings in a sentence; "
            f"{direction(metric)}. "
            "Bands are 95% intervals over the sentences. The dashed line is ",
            arm_name("bpe"),
            ".",
            class_="kv-caption kv-wide",
        ),
        _curves(result, metric),
        element(
            "p",
            marked(
                f"{count(result.sentences, 'sentence')}, seed {result.seed}"
                f"{_took(result.seconds, command)}."
            ),
            class_="kv-caption",
        ),
        made_by(command, "Run the sweep")
        if command
        else downloads("sweep", result, sweep_rows(result)),
        class_="kv-lab-result",
    )
    return below, _above(result, "text", _finding(result, metric), command)


def recovery_view(result: Recovery, command: str = "") -> tuple[Markup, Markup]:
    """Return what stands below the curves, with downloads, and above them: who forgets sooner.

    Args:
        command: as for `sweep_view`.
    """
    below = element(
        "div",
        element(
            "p",
            marked(
                f"{count(result.runs, 'misspelled run')} of {count(result.done, 'passage')}, one "
                "misspelled word in the first half of each. Both runs are compared wherever both "
                "have read up to the same character. Bars are 95% intervals over passages. "
                f"Seed {result.seed}{_took(result.seconds, command)}."
            ),
            class_="kv-caption kv-wide",
        ),
        made_by(command, "Run the passages")
        if command
        else downloads("recovery", result, recovery_rows(result)),
        class_="kv-lab-result",
    )
    return below, _above(result, "passage", _forgetting(result), command)


def _above(result: Sweep | Recovery, noun: str, finding: Markup, command: str) -> Markup:
    return element(
        "div",
        progress(result.done, result.asked, False, noun) if not command else "",
        element("p", finding, class_="kv-finding", role="status"),
        problems(result.problems),
        class_="kv-lab-result",
    )


def _took(seconds: float, command: str) -> str:
    """Return the duration of a run that was made here; empty for a stored one."""
    return "" if command else f", took {written(seconds, 1)} s"


def _finding(result: Sweep, metric: str) -> Markup:
    """Return the kinds under which each model is steadier, by intervals at the lowest strength."""
    strength = min(result.strengths, default=1)
    rows = [
        (KINDS[point.kind].label, point.metric(metric))
        for point in result.points
        if point.strength == strength
    ]
    arms = [arm.arm for arm in rows[0][1].arms] if rows else []
    better = {arm: [kind for kind, row in rows if row.steadier == arm] for arm in reversed(arms)}
    if not any(better.values()):
        name = METRIC_NAMES[metric][0].removesuffix(", nats")
        said = name if name.isupper() else name[0].lower() + name[1:]
        return join([f"By {said}, no kind of misspelling separates the models clearly."])
    how = "steadier" if len(arms) == 2 else "the steadiest"
    parts = [
        join([arm_name(arm), f" is clearly {how} under ", _kinds(kinds, len(result.kinds))])
        for arm, kinds in better.items()
    ]
    return join(
        [f"With {count(strength, 'misspelling')} per sentence, ", listing(parts, "; "), "."]
    )


def _kinds(labels: list[str], of: int) -> Markup:
    """Return the names of kinds, or their number if they are too many for a sentence."""
    if not labels:
        return Markup("none")
    if len(labels) > MOST_NAMED:
        return join([f"{len(labels)} of {of} kinds"])
    return listing([join([label]) for label in labels])


def _curves(result: Sweep, metric: str) -> Markup:
    rows = [point.metric(metric) for point in result.points]
    highs = [arm.value.high for row in rows for arm in row.arms]
    lows = [arm.value.low for row in rows for arm in row.arms]
    top = max(highs, default=1.0)
    bottom = min(0.0, *lows) if metric != "hidden_cosine" and lows else min(lows, default=0.0)
    return element(
        "div",
        *[_curve(result, kind, metric, bottom, max(top, bottom + 1e-9)) for kind in result.kinds],
        class_="kv-curves",
    )


def _curve(result: Sweep, kind: str, metric: str, bottom: float, top: float) -> Markup:
    points = result.curve(kind)
    strengths = result.strengths
    span = max(len(strengths) - 1, 1)

    def x(point: SweepPoint) -> float:
        place = strengths.index(point.strength) / span
        return LEFT + place * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (top - value) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    drawn: list[Markup] = [_axis(y, value, metric) for value in (bottom, top)]
    for strength in strengths:
        place = LEFT + strengths.index(strength) / span * (WIDTH - LEFT - RIGHT)
        drawn.append(
            element("text", strength, x=f"{place:.1f}", y=HEIGHT - 4, text_anchor="middle")
        )
    said = []
    arms = [arm.arm for arm in points[0].metric(metric).arms] if points else []
    for i, arm in enumerate(arms):
        values = [(x(point), point.metric(metric).arms[i].value) for point in points]
        band = [f"{at:.1f},{y(v.high):.1f}" for at, v in values]
        band += [f"{at:.1f},{y(v.low):.1f}" for at, v in reversed(values)]
        line = " ".join(f"{at:.1f},{y(v.mean):.1f}" for at, v in values)
        drawn.append(
            element(
                "g",
                element("polygon", points=" ".join(band), class_="kv-band"),
                element("polyline", points=line, class_=f"kv-curve kv-curve-{arm}"),
                *[
                    element("circle", cx=f"{at:.1f}", cy=f"{y(v.mean):.1f}", r="2.6")
                    for at, v in values
                ],
                data_arm=arm,
            )
        )
        said.append(f"{arm} " + ", ".join(written(v.mean) for _, v in values))
    known = kind in KINDS and KINDS[kind]
    picture = element(
        "svg",
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        **label(
            f"{KINDS[kind].label}, at {', '.join(map(str, strengths))} misspellings: "
            + ("; ".join(said) or "no sentence could be misspelled this way")
        ),
    )
    return element(
        "figure",
        element(
            "figcaption",
            element("b", KINDS[kind].label),
            element("small", known.example if known else ""),
        ),
        picture
        if points
        else element("p", "No sentence could be misspelled this way.", class_="kv-quiet"),
    )


def _axis(y: object, value: float, metric: str) -> Markup:
    at = y(value)  # type: ignore[operator]
    share = metric == "top1_kept"
    shown = number(value, 0 if share else 2, percent=share, tag="tspan")
    return join(
        [
            element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{at:.1f}", y2=f"{at:.1f}"),
            element("text", shown, x=LEFT - 4, y=f"{at + 4:.1f}", text_anchor="end"),
        ]
    )


def _forgetting(result: Recovery) -> Markup:
    if not result.points:
        return Markup("No passage could be misspelled that way.")
    halves = {_halves(arm, result) for arm in result.arms}
    if len(halves) == 1 and len(result.arms) > 1:
        every = "Both models’" if len(result.arms) == 2 else "Every model’s"
        return join([every, f" shift {halves.pop()}."])
    parts = [join([arm_name(arm.arm), "’s shift ", _halves(arm, result)]) for arm in result.arms]
    return join([listing(parts, "; "), "."])


def _halves(arm: RecoveryArm, result: Recovery) -> str:
    def after(tokens: int | None) -> str:
        if tokens is None:
            return f"after more than {len(result.points)} tokens"
        return f"after {count(tokens, 'token')}"

    return f"halves {after(arm.half_after)} and falls to a tenth {after(arm.tenth_after)}"
