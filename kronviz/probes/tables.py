"""Turn results into flat tables: one dict per row, with the same keys in every row.

Notable:

- The command line, the page and the API all write their CSV from these.
- Cells that a spreadsheet would read as a formula get a leading apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from kronviz.generation import Generation
from kronviz.probes.cross_model import CrossModelReport
from kronviz.probes.echo import EchoReport
from kronviz.probes.intervals import columns
from kronviz.probes.layers import KINDS, LayerReport
from kronviz.probes.recovery import Recovery, RecoveryStrip
from kronviz.probes.robustness import MetricRow, Robustness
from kronviz.probes.sensitivity import Sensitivity
from kronviz.probes.sweep import Sweep

Row = dict[str, object]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a header; empty text if there are no rows."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: inert(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def robustness_rows(result: Robustness) -> list[Row]:
    """Return one row per pair: the four metrics of each arm, and how it rates the right answer."""
    rows = []
    for outcome in result.outcomes:
        row: Row = {
            "id": outcome.id,
            "category": outcome.category,
            "clean": outcome.clean,
            "typo": outcome.typo,
            "clean_tokens": outcome.clean_tokens,
            "typo_tokens": outcome.typo_tokens,
            "answer": outcome.answer,
        }
        for arm in outcome.arms:
            right = arm.answer
            row |= {
                f"{arm.arm}_clean_top": arm.clean_top,
                f"{arm.arm}_typo_top": arm.typo_top,
                f"{arm.arm}_top1_kept": int(arm.metrics.top1_kept),
                f"{arm.arm}_kl_nats": arm.metrics.kl_nats,
                f"{arm.arm}_hidden_cosine": arm.metrics.hidden_cosine,
                f"{arm.arm}_logprob_drop_nats": arm.metrics.logprob_drop_nats,
                f"{arm.arm}_answer_clean_logprob": right and right.clean_logprob,
                f"{arm.arm}_answer_typo_logprob": right and right.typo_logprob,
                f"{arm.arm}_answer_clean_rank": right and right.clean_rank,
                f"{arm.arm}_answer_typo_rank": right and right.typo_rank,
            }
        rows.append(row)
    return rows


def sweep_rows(result: Sweep) -> list[Row]:
    """Return one row per kind, strength and metric, with the mean and interval of each arm."""
    return [
        {"kind": point.kind, "strength": point.strength, "texts": point.texts, **_metric(metric)}
        for point in result.points
        for metric in point.metrics
    ]


def recovery_rows(result: Recovery) -> list[Row]:
    """Return one row per number of tokens after the misspelling."""
    rows = []
    for point in result.points:
        row: Row = {"later": point.later, "runs": point.runs}
        for arm in point.arms:
            row |= {
                f"{arm.arm}_kl_nats": arm.kl_nats.mean,
                f"{arm.arm}_low": arm.kl_nats.low,
                f"{arm.arm}_high": arm.kl_nats.high,
            }
        rows.append(row)
    return rows


def sensitivity_rows(result: Sensitivity) -> list[Row]:
    """Return one row per word; figures are empty if a word could not be misspelled."""
    rows = []
    for word in result.words:
        row: Row = {
            "word": word.word,
            "start": word.start,
            "end": word.end,
            "variants": " ".join(word.variants),
        }
        by_arm = {arm.arm: arm for arm in word.arms}
        for choice in result.arms:
            arm = by_arm.get(choice.arm)
            row[f"{choice.arm}_kl_nats"] = arm.kl_nats if arm else None
            row[f"{choice.arm}_top1_kept"] = arm.top1_kept if arm else None
        rows.append(row)
    return rows


def strip_rows(result: RecoveryStrip) -> list[Row]:
    """Return one row per token of the misspelled text; figures are empty without a counterpart."""
    arms = next(([arm.arm for arm in token.arms] for token in result.tokens if token.arms), [])
    rows = []
    for token in result.tokens:
        kls = {arm.arm: arm.kl_nats for arm in token.arms}
        row: Row = {"token": token.token.text, "hex": token.token.hex, "later": token.later}
        rows.append(row | {f"{arm}_kl_nats": kls.get(arm) for arm in arms})
    return rows


def generation_rows(result: Generation) -> list[Row]:
    """Return one row per generated token, with its probability before top-p."""
    return [
        {
            "arm": continuation.arm,
            "prompt": continuation.prompt,
            "forced": continuation.forced,
            "place": place,
            "id": token.id,
            "token": token.text,
            "hex": token.hex,
            "probability": token.prob,
        }
        for continuation in result.continuations
        for place, token in enumerate(continuation.tokens, 1)
    ]


def cross_model_rows(result: CrossModelReport) -> list[Row]:
    """Return one row per kind of pairs, with the means and intervals of table and code."""
    rows = []
    for bucket in result.buckets:
        row: Row = {"bucket": bucket.bucket, "pairs": bucket.pairs, "same_bytes": bucket.same_bytes}
        for name in ("table", "centred", "code"):
            value = getattr(bucket, name)
            row |= {
                f"{name}_cosine": value.mean if value else None,
                f"{name}_low": value.low if value else None,
                f"{name}_high": value.high if value else None,
            }
        rows.append(row)
    return rows


def echo_rows(result: EchoReport) -> list[Row]:
    """Return one row per continuation."""
    return [
        {
            "arm": run.arm,
            "reading": run.reading,
            "string": run.string,
            "prompt": run.prompt,
            "seed": run.seed,
            "positions": run.positions,
            "echoed": int(run.echoed),
            "piece": run.piece,
            "chance": run.chance,
            "text": run.text,
        }
        for run in result.runs
    ]


def layer_rows(result: LayerReport) -> list[Row]:
    """Return one row per arm and depth: the three shares and the cosines of each kind of pairs."""
    rows = []
    for arm in result.arms:
        for at in arm.depths:
            row: Row = {
                "arm": arm.arm,
                "depth": at.depth,
                "other_form": at.other_form,
                "holds_root": at.holds_root,
                "in_family": at.in_family,
                "norm": at.norm,
            }
            for kind in KINDS:
                pairs = next((pairs for pairs in arm.pairs if pairs.kind == kind), None)
                row |= {
                    f"{kind}_cosine": pairs.cosines[at.depth] if pairs else None,
                    f"{kind}_margin": pairs.margins[at.depth] if pairs else None,
                    f"{kind}_chance": pairs.controls[at.depth] if pairs else None,
                }
            rows.append(row)
    return rows


def _metric(row: MetricRow) -> Row:
    cells: Row = {"metric": row.metric}
    for arm in row.arms:
        cells |= {
            f"{arm.arm}_mean": arm.value.mean,
            f"{arm.arm}_low": arm.value.low,
            f"{arm.arm}_high": arm.value.high,
        }
    if row.difference:
        cells |= {
            "kron_less_bpe": row.difference.mean,
            "difference_low": row.difference.low,
            "difference_high": row.difference.high,
        }
    for gap in row.further:
        cells |= columns(f"{gap.arm}_less_{gap.base}", gap.value)
    return cells | {"kron_wins": row.kron_wins, "ties": row.ties, "bpe_wins": row.bpe_wins}


def inert(value: object) -> object:
    """Return a cell that no spreadsheet reads as a formula: such texts get a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
