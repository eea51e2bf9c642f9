"""Makes our models available to lm-evaluation-harness, so that all of its tasks can run on them.

    pip install -r requirements-lm-eval.txt
    python -m kronviz.probes.harness run --model kronviz --model_args pair=tiny,arm=kron \
        --tasks blimp

Notable:

- The package ``lm_eval`` is optional: nothing else imports this module.
- Importing it is enough for `lm_eval.simple_evaluate(model="kronviz", …)`.

Source: https://github.com/EleutherAI/lm-evaluation-harness.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model

from kronviz.checkpoint import load_arm
from kronviz.model import KVCache
from kronviz.paths import CHECKPOINTS
from kronviz.scoring import score
from kronviz.tokenizer import load_tokenizer

MOST_NEW = 256


@register_model("kronviz")
class KronvizLM(TemplateLM):
    """One arm of a pair, with the harness's interface.

    Args:
        pair: name of a pair in ``checkpoints/``, or its folder.
        arm: name of the arm.
    """

    def __init__(self, pair: str = "gpt2", arm: str = "kron", **ignored: Any):
        super().__init__()
        folder = Path(pair) if Path(pair).is_dir() else CHECKPOINTS / pair
        self.gpt = load_arm(folder / arm)
        self.tokens = load_tokenizer(self.gpt.config.vocabulary)

    @property
    def eot_token_id(self) -> int:
        """Return the id of the token that takes the place of an empty context."""
        return self.tokens.eot_id

    @property
    def max_length(self) -> int:
        """Number of tokens that the model reads."""
        return self.gpt.config.n_ctx

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Encode a text; special tokens are never added."""
        return self.tokens.encode(string)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        rated = score(self.gpt, [(tuple(c), tuple(t[-self.max_length :])) for _, c, t in requests])
        return list(zip(rated.logprobs.tolist(), rated.greedy.tolist(), strict=True))

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Return the log-probability of whole texts, read window after window."""
        sums = []
        for request in requests:
            windows = utils.get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.eot_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            pairs = [utils.make_disjoint_window(window) for window in windows]
            rated = score(self.gpt, [(tuple(c), tuple(t)) for c, t in pairs]) if pairs else None
            sums.append(float(rated.logprobs.sum()) if rated else 0.0)
        return sums

    @torch.inference_mode()
    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Continue texts greedily up to a stop string.

        Raises:
            NotImplementedError: a task asks for sampling.
        """
        return [self._continued(*request.args) for request in requests]

    def _continued(self, context: str, options: dict[str, Any]) -> str:
        if options.get("do_sample") and options.get("temperature", 1.0) > 0:
            raise NotImplementedError("This model continues greedily; the task asks for samples.")
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        most = min(int(options.get("max_gen_toks", MOST_NEW)), self.max_length - 1)
        ids = (self.tok_encode(context) or [self.eot_token_id])[-(self.max_length - most) :]
        cache, read, made = KVCache(), ids, list[int]()
        while len(made) < most:
            logits = self.gpt(torch.tensor([read]), cache=cache).logits[0, -1]
            made.append(int(logits.argmax()))
            read = made[-1:]
            text = self.tokens.decode(made)
            if made[-1] == self.eot_token_id or any(stop in text for stop in stops):
                break
        text = self.tokens.decode([i for i in made if i != self.eot_token_id])
        ends = [text.find(stop) for stop in stops if stop in text]
        return text[: min(ends)] if ends else text


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
