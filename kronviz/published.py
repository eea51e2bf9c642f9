"""The paper's figures, to be shown beside ours and never in place of ours.

Source: R. Shravan, “Kronecker Embeddings: Byte-Level Structured Token Representations for
Parameter-Efficient Language Models”, arXiv 2605.29459. Each figure names its place in the paper.
This project measured none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "https://arxiv.org/abs/2605.29459"
TITLE = (
    "Kronecker Embeddings: Byte-Level Structured Token Representations for Parameter-Efficient "
    "Language Models"
)
BIBTEX = f"""@misc{{shravan2026kronecker,
  title         = {{{TITLE}}},
  author        = {{Shravan, R.}},
  year          = {{2026}},
  eprint        = {{2605.29459}},
  archivePrefix = {{arXiv}},
  url           = {{{PAPER}}}
}}"""
TRAINING_RUN = "GPT-2 124M, 2.5 billion tokens of FineWeb-Edu, 4,623 steps, 3 seeds"


@dataclass(frozen=True)
class Published:
    """One figure of the paper.

    Attributes:
        text: the figure in words and units, as the paper gives it.
        where: the part of the paper that states it.
        value: the figure as a number, if it is one, in the unit of ``text``.
        spread: plus or minus, in the same unit; 0 if the paper gives none.
    """

    text: str
    where: str
    value: float | None = None
    spread: float = 0.0


GAP_NATS = Published("0.083 ± 0.007 nats lower with kron", "abstract", 0.083, 0.007)
GAP_PERCENT = Published("2.5 ± 0.2% lower with kron", "abstract", 2.5, 0.2)
FEWER_STEPS = Published("1.43× fewer steps", "abstract", 1.43)
TABLE_NORM = Published("drifts during training", "abstract")
PROJECTION_NORM = Published("stays near 1.0", "abstract", 1.0)
STEP_OVERHEAD = Published("0.01 to 0.24% longer with kron", "abstract")
INPUT_PARAMETERS = Published(
    "table 38.6 M, projection 3.1 M, 91% fewer", "section 6.9, table 11", 91.0
)
SCALE = Published(TRAINING_RUN, "section 6.9")

ROBUSTNESS_WHERE = "section 6.11, 110 pairs"
ROBUSTNESS = {
    "top1_kept": {
        "bpe": Published("47.3%", ROBUSTNESS_WHERE, 0.473),
        "kron": Published("55.5%", ROBUSTNESS_WHERE, 0.555),
    },
    "kl_nats": {
        "bpe": Published("0.859 nats", ROBUSTNESS_WHERE, 0.859),
        "kron": Published("0.794 nats", ROBUSTNESS_WHERE, 0.794),
    },
    "hidden_cosine": {
        "bpe": Published("0.857", ROBUSTNESS_WHERE, 0.857),
        "kron": Published("0.879", ROBUSTNESS_WHERE, 0.879),
    },
    "logprob_drop_nats": {
        "bpe": Published("1.199 nats", ROBUSTNESS_WHERE, 1.199),
        "kron": Published("1.058 nats", ROBUSTNESS_WHERE, 1.058),
    },
}
"""Means over the paper's 110 clean/typo pairs, by metric and arm; top-1 kept is a share."""

LAYERS_WHERE = "section 6.8, table 10, the 124M pair"
LAYERS = {
    share: {
        arm: tuple(Published(f"{value:.3f}", LAYERS_WHERE, value) for value in values)
        for arm, values in arms.items()
    }
    for share, arms in {
        "other_form": {"bpe": (0.898, 0.906, 0.942), "kron": (0.967, 0.967, 0.967)},
        "holds_root": {"bpe": (0.302, 0.285, 0.169), "kron": (0.244, 0.265, 0.258)},
        "in_family": {"bpe": (0.283, 0.267, 0.156), "kron": (0.221, 0.237, 0.231)},
    }.items()
}
"""Shares L, M and S of the ten nearest, by arm: at the input, after block 1, after block 2."""


# What an input embedding costs.

STORAGE = Published(
    "a 4.5 MB byte buffer in place of a 2.15 GB table, at 131,072 tokens", "abstract"
)
SAVED = Published("91 to 94% fewer input-side parameters", "abstract")


@dataclass(frozen=True)
class PublishedSaving:
    """A share of input parameters saved, with the vocabulary and code that the paper states.

    Attributes:
        n_vocab: tokens.
        pos_dim: positions of the code.
        share: share of the table's parameters.
        text: the figure in words.
        where: the part of the paper that states it.
    """

    n_vocab: int
    pos_dim: int
    share: float
    text: str
    where: str


SAVINGS = (
    PublishedSaving(50_257, 16, 0.91, "GPT-2 124M: 91% fewer", "section 6.9, table 11"),
    PublishedSaving(131_072, 32, 0.94, "131,072 tokens: up to 94% fewer", "abstract"),
)


# Tables that others trained.

CROSS_MODEL_WHERE = "section 6, means over six public language models, 135M to 671B"
CROSS_MODEL = {
    bucket: {
        "table": Published(f"{table:.3f}", CROSS_MODEL_WHERE, table),
        "code": Published(f"{code:.3f}", CROSS_MODEL_WHERE, code),
    }
    for bucket, table, code in (
        ("typographic", 0.553, 0.657),
        ("morphological", 0.382, 0.743),
        ("unrelated", 0.152, 0.430),
    )
}
"""Mean cosine of pairs of tokens by bucket, in the trained tables and in the byte code."""
