"""Returns the tables of our own pairs in the form of a visitor's."""

from __future__ import annotations

import torch

from kronviz.predictor import InputError, Predictor
from kronviz.probes.cross_model.schemes import RANKS
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.tokens import TokenList


@torch.inference_mode()
def own_table(predictor: Predictor, arm: str = "bpe") -> tuple[VectorTable, TokenList]:
    """Return the input embeddings of an arm, row by row, and the tokens of its vocabulary.

    Raises:
        InputError: the pair has no such arm.
    """
    model = predictor.arms.get(arm)
    if model is None:
        raise InputError(f"The pair {predictor.pair} has no {arm} model; choose a file instead.")
    ids = torch.arange(model.n_vocab, device=model.device)
    vectors = torch.cat([model.wte(part).float().cpu() for part in ids.split(8192)]).numpy()
    vocabulary = predictor.tokenizer.vocabulary
    data = tuple(vocabulary[token] for token in range(len(vocabulary)))
    eot = predictor.tokenizer.eot_id
    tokens = tuple(b"" if token == eot else own for token, own in enumerate(data))
    return (
        VectorTable(vectors, f"{arm} input embeddings", "float32", len(vectors)),
        TokenList(tokens, tuple(own[:1] == b" " for own in tokens), RANKS, 1),
    )
