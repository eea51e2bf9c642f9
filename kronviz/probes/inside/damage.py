"""Measures how much of a misspelling's damage is left in a patched run.

Notable:

- Everything is computed from logit differences to the clean run, which the head can produce without
  the rounding errors of two large numbers: ``KL(clean ‖ run) = log E[exp δ] − E[δ]`` under the
  clean prediction.
- Shares are relative to the damage of the misspelled run. If that is too small to divide by, there
  is no share.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kronviz.probes.inside.runs import Run
from kronviz.tokenizer import Tokenizer

LEAST_KL, LEAST_DROP = 1e-4, 1e-2
"""Least damage in nats, by KL and by log-probability, for a share."""
GUESSES = 5
LARGEST = 80.0
"""Logit differences are clipped here, because larger exponentials overflow float32."""


@dataclass(frozen=True)
class Guess:
    """A possible next token: readable, its bytes in hexadecimal, and its probability."""

    text: str
    hex: str
    prob: float


@dataclass(frozen=True)
class Outcome:
    """A run's prediction, compared with the clean run's.

    Attributes:
        kl_nats: KL(clean ‖ run).
        logprob_nats: log-probability of the clean run's first choice.
        kl_undone, logprob_undone: share of the damage undone, by either measure: 0 for the
            misspelled run, 1 for the clean one, negative if the run is further away; ``None`` if
            the misspelling does hardly any damage.
        guesses: the most probable next tokens, in order.
    """

    kl_nats: float
    logprob_nats: float
    kl_undone: float | None
    logprob_undone: float | None
    guesses: tuple[Guess, ...]


class Damage:
    """Measures runs of one model against its clean run.

    Args:
        clean, typo: the two runs.
        tokenizer: names the guesses.

    Attributes:
        clean, typo: outcomes of the two runs themselves.
    """

    @torch.no_grad()
    def __init__(self, clean: Run, typo: Run, tokenizer: Tokenizer):
        self._model, self._tokenizer = clean.model, tokenizer
        ends = torch.stack([clean.streams[-1, -1], typo.streams[-1, -1]])
        finals = self._model.norm(ends)
        self._final = finals[:1]
        self._logits = self._model.logits(self._final).float()
        logs = self._logits.double().log_softmax(-1)[0]
        self._logs, self._probs = logs.float(), logs.exp().float()
        self.top = int(logs.argmax())
        self._top_log = float(logs[self.top])
        kl, log, shift = self._measure(finals)
        self._base_kl, self._base_log = float(kl[1]), float(log[1])
        self.clean, self.typo = self._outcomes(kl, log, shift)

    def measure(self, final: Tensor) -> tuple[Tensor, Tensor]:
        """Return KL to the clean prediction and log-probability of its first choice, in nats.

        Args:
            final: final hidden states, ``(runs, d_model)``; differentiable.

        Returns:
            Two tensors ``(runs,)``.
        """
        kl, log, _ = self._measure(final)
        return kl, log

    def _measure(self, final: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shift = self._model.logits(final - self._final).float().clamp(max=LARGEST)
        grown = torch.log1p(torch.expm1(shift) @ self._probs)
        kl = grown - shift @ self._probs
        return kl, self._top_log + shift[:, self.top] - grown, shift

    @torch.no_grad()
    def outcomes(self, final: Tensor) -> list[Outcome]:
        """Measure runs by their final hidden states, ``(runs, d_model)``."""
        return self._outcomes(*self._measure(final))

    def _outcomes(self, kl: Tensor, log: Tensor, shift: Tensor) -> list[Outcome]:
        best = (self._logs + shift).topk(GUESSES)
        probs = (best.values - (log - shift[:, self.top] - self._top_log).neg()[:, None]).exp()
        return [
            Outcome(
                kl_nats=max(own_kl, 0.0),
                logprob_nats=own_log,
                kl_undone=self._share(self._base_kl - own_kl, self._base_kl, LEAST_KL),
                logprob_undone=self._share(
                    own_log - self._base_log, self._top_log - self._base_log, LEAST_DROP
                ),
                guesses=tuple(self._guesses(tokens, own)),
            )
            for own_kl, own_log, tokens, own in zip(
                kl.tolist(), log.tolist(), best.indices.tolist(), probs.tolist(), strict=True
            )
        ]

    @staticmethod
    def _share(undone: float, damage: float, least: float) -> float | None:
        return undone / damage if damage >= least else None

    def _guesses(self, tokens: list[int], probs: list[float]) -> list[Guess]:
        name = self._tokenizer
        return [
            Guess(name.token_text(token), name.token_bytes(token).hex(" "), prob)
            for token, prob in zip(tokens, probs, strict=True)
        ]
