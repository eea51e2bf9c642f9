"""Write the model card of an arm from its ``config.json``, its log and its predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kronviz.arms import ARMS
from kronviz.checkpoint import load_arm
from kronviz.checkpoint_files import PAIR, read_config, read_log
from kronviz.model import GPT
from kronviz.tokenizer import load_tokenizer
from kronviz.training.configs import TrainConfig

PROMPTS = (
    "The capital of France is",
    "Water boils at one hundred",
    "There are seven days in a",
    "The sun rises in the",
    "Once upon a time there was a",
    "The king and the",
    "Two plus two is",
    "The opposite of hot is",
    "The largest planet in the solar system is",
    "She opened the door and",
    "The United States of",
    "The population of the country is",
    "The heart pumps",
    "In the year of our",
    "He was born in the city of",
    "The cell membrane is made of",
    "The sky is blue and the grass is",
    "A triangle has three",
    "The first president of the United States was",
    "The speed of",
    "Supply and",
    "The mother kissed her",
    "Plants make food by",
    "Once more unto the",
    "The price of a good rises when",
)

ABOUT = {name: f"{arm.about}; its output head is separate" for name, arm in ARMS.items()} | {
    "bpe": "a learned table with one row per token, tied to the output head",
    "kron": "the fixed Kronecker code of a token's bytes and one learned projection; "
    "its output head is separate",
}


def model_card(pair: Path, arm: str, sources: str) -> str:
    """Write the card of an arm as Markdown. Both arms of the pair must have been exported.

    Args:
        pair: the pair's folder.
        sources: a description of the training text, in Markdown.
    """
    configs = {name: read_config(pair / name) for name in dict.fromkeys((*PAIR, arm))}
    config = configs[arm]
    model = load_arm(pair / arm)
    training: dict[str, Any] = config["training"]
    shape = config["model"]
    command = f"python -m kronviz.training.pair --config {training['name']} --text FOLDER"
    command += f" --arms {arm}" if arm not in PAIR else ""
    own = _own_settings(training) if arm not in PAIR else []
    command += f" --set {' '.join(own)}" if own else ""
    facts = [
        ("Arm", f"`{arm}`: {ABOUT[arm]}"),
        ("Shape", f"{shape.n_layer} layers, width {shape.d_model}, {shape.n_head} heads, "
                  f"context {shape.n_ctx}, pos_dim {shape.pos_dim}"),
        ("Vocabulary", f"`{shape.vocabulary}`, {model.n_vocab:,} tokens"),
        ("Parameters", f"{config['parameters']:,}, of which input {config['input_parameters']:,}"),
        ("Trained on", f"{training['tokens']:,} tokens, {training['steps']:,} steps of "
                       f"{training['batch_size'] * training['n_ctx']:,}; the same batches in the "
                       "same order for all arms"),
        ("Optimizer", f"{training['optimizer']}, AdamW rate {training['adam_lr']}"
                      + (f", Muon rate {training['muon_lr']}" if training["optimizer"] == "muon"
                         else "")
                      + f", {training['schedule']} schedule, seed {training['seed']}"),
        *([("Set for this arm", ", ".join(f"`{one}`" for one in own))] if own else []),
        ("Loss", _loss_in_training(training)),
        ("Stored as", f"{config['storage']} safetensors"),
    ]  # fmt: skip
    lines = [
        f"# kronviz {pair.name}, arm `{arm}`",
        "",
        "A small English GPT to compare with its twin, which differs only in the input embedding. "
        "It continues text; it is not tuned to follow instructions and is often wrong.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {text} |" for name, text in facts),
        "",
        "## Validation loss",
        "",
        "| arm | nats per token | bits per byte | before int8, nats |",
        "| --- | --- | --- | --- |",
        *(_loss_row(name, config) for name, config in configs.items()),
        "",
        _verdict(configs) if arm in PAIR else _beside(arm, configs),
        "",
        f"Reproduce with `python -m kronviz.training.evaluate checkpoints/{pair.name} "
        "--text val.jsonl.xz`.",
        "",
        "## Predictions",
        "",
        "Its five most probable next tokens, good or bad.",
        "",
        "| prompt | top five |",
        "| --- | --- |",
        *(f"| {prompt} | {top} |" for prompt, top in answers(model)),
        "",
        "## Data",
        "",
        sources.strip(),
        "",
        "## Made by",
        "",
        f"    {command}",
        "",
        f"The log of every step is `log.jsonl` ({len(read_log(pair / arm)):,} lines). "
        "Licence of the weights: Apache-2.0.",
        "",
    ]
    return "\n".join(lines)


def answers(model: GPT) -> list[tuple[str, str]]:
    """Return each prompt with its five most probable next tokens and their probabilities."""
    tokenizer = load_tokenizer(model.config.vocabulary)
    reading = model.read([tokenizer.encode(prompt) for prompt in PROMPTS])
    top = reading.logits.softmax(-1).topk(5)
    rows = []
    for prompt, ids, values in zip(PROMPTS, top.indices.tolist(), top.values.tolist(), strict=True):
        cells = [
            f"`{_visible(tokenizer.token_text(token))}` {value:.0%}"
            for token, value in zip(ids, values, strict=True)
        ]
        rows.append((prompt, " · ".join(cells)))
    return rows


def _own_settings(training: dict[str, Any]) -> list[str]:
    """Return the settings of the input embedding that are not the configuration's, as overrides."""
    fields = TrainConfig.__dataclass_fields__
    return [
        f"{key}={training[key]:g}"
        for key in ("init_std", "input_rate")
        if training.get(key, fields[key].default) != fields[key].default
    ]


def _loss_in_training(training: dict[str, Any]) -> str:
    if not training.get("scored"):
        return "cross-entropy over the whole vocabulary"
    return (
        f"cross-entropy over {training['scored']:,} tokens per step (the "
        f"{training['frequent']:,} most frequent, the batch's targets and a weighted random "
        f"sample); over the whole vocabulary in the last {training['exact']:.1%} of the steps"
    )


def _visible(text: str) -> str:
    return text.replace("\n", "⏎").replace("|", "¦").replace("`", "ˋ").replace(" ", "␣")


def _loss_row(arm: str, config: dict[str, Any]) -> str:
    loss, exact = config["validation"], config.get("validation_float32")
    before = f"{exact['loss']:.4f}" if exact else "not measured"
    return f"| {arm} | {loss['loss']:.4f} | {loss['bits_per_byte']:.4f} | {before} |"


def _beside(arm: str, configs: dict[str, dict[str, Any]]) -> str:
    """Compare the loss of a further arm with those of bpe and kron."""
    own = configs[arm]["validation"]["loss"]
    gaps = [(name, configs[name]["validation"]["loss"] - own) for name in PAIR]
    return (
        "Its loss is "
        + ", ".join(
            f"{'lower' if gap > 0 else 'higher'} than {name}'s by {abs(gap):.4f} nats"
            for name, gap in gaps
        )
        + "."
    )


def _verdict(configs: dict[str, dict[str, Any]]) -> str:
    bpe, kron = (configs[arm]["validation"]["loss"] for arm in PAIR)
    gap = bpe - kron
    if gap > 0:
        return f"kron's loss is lower by {gap:.4f} nats ({gap / bpe:.2%})."
    return (
        f"kron's loss is not lower: it is higher by {-gap:.4f} nats ({-gap / bpe:.2%}). What we "
        "tried to close the gap, at this size or a smaller one: other learning rates, a lower "
        "one for the projection alone, a rate that falls over half of the run, more text, and, as "
        "a control, bpe with a separate output head. With AdamW instead of Muon, as in nanoGPT, "
        "it is the other way round for small models with 8,193 tokens: kron is ahead. The figures "
        "are in `kronviz/training/LOG.md`."
    )
