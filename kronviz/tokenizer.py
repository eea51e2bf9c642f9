"""From text to token ids, and from every id to the bytes that it stands for.

Notable:

- Vocabularies are loaded by tiktoken, with its own hash check, from rank files in ``assets/``, so
  no network is needed.
- Any vocabulary can be cut to its first N ranks: ``r50k_base:8192`` is GPT-2's with 8,192 ranks.
- A token's bytes are its true bytes. ``decode([id]).encode()`` would turn every piece of a
  multi-byte character into U+FFFD, and give 344 of GPT-2's tokens the same code.
- Special tokens are never parsed from text: what a user types is plain text.

>>> tokenizer = load_tokenizer("r50k_base")
>>> tokenizer.encode("hello world")
[31373, 995]
>>> tokenizer.token_bytes(995)
b' world'
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kronviz.errors import Sentence
from kronviz.lines import short_name
from kronviz.paths import ASSETS

if TYPE_CHECKING:
    import tiktoken

RANK_FILES = ASSETS / "tiktoken"
END_OF_TEXT = "<|endoftext|>"
_MAX_RUN = 4096
_environment = threading.Lock()


class VocabularyError(Sentence, RuntimeError):
    """A vocabulary is unknown, missing or damaged; the message says which and what to do."""


@dataclass(frozen=True)
class Vocabulary:
    """The URL from which tiktoken fetches a rank file, the file's hash, and its numbers of ids.

    Attributes:
        n_vocab: all ids, with special tokens and unused ids.
        n_ranks: ids of the file, which come first.
    """

    url: str
    sha256: str
    n_vocab: int
    n_ranks: int


VOCABULARIES = {
    "r50k_base": Vocabulary(
        "https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken",
        "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        50_257,
        50_256,
    ),
    "cl100k_base": Vocabulary(
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        100_277,
        100_256,
    ),
    "o200k_base": Vocabulary(
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        200_019,
        199_998,
    ),
}


@dataclass(frozen=True)
class TokenBytes:
    """The bytes of all tokens of a vocabulary, stored ragged: no padding.

    Attributes:
        data: uint8, shape ``(total_bytes,)``, all tokens concatenated in order of id.
        offsets: int64, shape ``(n_vocab + 1,)``; token ``i`` is ``data[offsets[i]:offsets[i+1]]``.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, tokens: Sequence[bytes]) -> TokenBytes:
        """Pack a sequence of byte strings."""
        offsets = np.zeros(len(tokens) + 1, np.int64)
        np.cumsum([len(token) for token in tokens], out=offsets[1:])
        return cls(np.frombuffer(b"".join(tokens), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, token_id: int) -> bytes:
        if not 0 <= token_id < len(self):
            raise IndexError(f"token id {token_id} is outside 0 … {len(self) - 1}")
        return self.data[self.offsets[token_id] : self.offsets[token_id + 1]].tobytes()


class TokenSet:
    """The tokens of any vocabulary, in order of id.

    Attributes:
        name: the name for `token_set`.
        vocabulary: the bytes of every id. Unused ids have no bytes.
    """

    name: str
    n_vocab: int
    vocabulary: TokenBytes

    def __init__(self, name: str, vocabulary: TokenBytes):
        self.name, self.vocabulary, self.n_vocab = name, vocabulary, len(vocabulary)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of an id; `IndexError` for an id outside the vocabulary."""
        return self.vocabulary[token_id]

    def token_text(self, token_id: int) -> str:
        r"""Return an id as readable text; pieces of characters are written like ``\xe2``."""
        return self.token_bytes(token_id).decode("utf-8", errors="backslashreplace")


_registered: weakref.WeakValueDictionary[str, TokenSet] = weakref.WeakValueDictionary()


def hold(tokens: TokenSet) -> None:
    """Register a token set under its name, for as long as someone else references it."""
    _registered[tokens.name] = tokens


def token_set(name: str) -> TokenSet:
    """Return a registered token set, or else the vocabulary that `load_tokenizer` loads."""
    return _registered.get(name) or load_tokenizer(name)


class Tokenizer(TokenSet):
    """A byte-pair encoding with the true bytes of each id. `load_tokenizer` creates it.

    Attributes:
        name: the name that `load_tokenizer` was given.
        n_vocab: number of ids, including the end-of-text token.
        eot_id: id of the end-of-text token, which separates documents in training.
        special_ids: ids of all special tokens.
    """

    def __init__(self, name: str, encoding: tiktoken.Encoding):
        self.name = name
        self.n_vocab = encoding.n_vocab
        self.eot_id = encoding.encode_single_token(END_OF_TEXT)
        self.special_ids = frozenset(
            encoding.encode_single_token(token) for token in encoding.special_tokens_set
        )
        self._encoding = encoding

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special tokens are read as plain text, lone surrogates as
        U+FFFD.
        """
        # On a few hundred thousand spaces in a row, tiktoken's regular expressions overflow their
        # stack in a panic that `except Exception` does not catch. No real text has such a run.
        if len(text) <= _MAX_RUN:
            return self._encoding.encode_ordinary(text)
        ids: list[int] = []
        for piece in _cut_long_runs(text):
            ids += self._encoding.encode_ordinary(piece)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; bytes that are not valid UTF-8 become U+FFFD."""
        return self._encoding.decode(list(ids), errors="replace")

    @functools.cached_property
    def vocabulary(self) -> TokenBytes:  # type: ignore[override]
        """Return the bytes of every id. Unused ids have no bytes."""

        def bytes_of(token_id: int) -> bytes:
            try:
                return self._encoding.decode_single_token_bytes(token_id)
            except KeyError:
                return b""

        return TokenBytes.of([bytes_of(token_id) for token_id in range(self.n_vocab)])


def rank_file(name: str) -> Path:
    """Return a rank file's path in tiktoken's cache, where its name is the SHA-1 of its URL."""
    return RANK_FILES / hashlib.sha1(VOCABULARIES[name].url.encode()).hexdigest()


def vocabulary_size(name: str) -> int:
    """Return the number of ids of a vocabulary, without loading it.

    Raises:
        VocabularyError: the name is unknown.
    """
    base, colon, first = name.partition(":")
    if base not in VOCABULARIES:
        raise VocabularyError(
            f"There is no vocabulary {short_name(base)!r}; there are {', '.join(VOCABULARIES)}."
        )
    if not colon:
        return VOCABULARIES[base].n_vocab
    size = int(first) if first.isdecimal() and len(first) < 10 else 0
    if not 256 <= size <= VOCABULARIES[base].n_ranks:
        raise VocabularyError(
            f"{short_name(name)!r} asks for {short_name(first)!r} ranks; {base} can be cut to "
            f"256 … {VOCABULARIES[base].n_ranks}."
        )
    return size + 1


@functools.lru_cache(maxsize=8)
def load_tokenizer(name: str) -> Tokenizer:
    """Load a vocabulary from ``assets/``.

    Args:
        name: ``r50k_base`` (GPT-2's ids), ``cl100k_base`` or ``o200k_base``; a suffix ``:N``
            keeps the first N ranks (the first 256 of them are the single bytes) and adds the
            end-of-text token as id N.

    Raises:
        VocabularyError: the name is unknown, or the file is missing or damaged.
    """
    size = vocabulary_size(name) - 1
    base, cut, _ = name.partition(":")
    parts = _load_ranks(base)
    if cut:
        ranks = parts["mergeable_ranks"]
        parts = {
            "name": name,
            "pat_str": parts["pat_str"],
            "mergeable_ranks": {token: rank for token, rank in ranks.items() if rank < size},
            "special_tokens": {END_OF_TEXT: size},
        }
    import tiktoken

    return Tokenizer(name, tiktoken.Encoding(**parts))


def _load_ranks(base: str) -> dict:
    path, expected = rank_file(base), VOCABULARIES[base].sha256
    # Checked here first, because tiktoken deletes a file that fails its check and downloads it.
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise VocabularyError(
            f"The vocabulary file of {base} is missing from assets/tiktoken; restore it from the "
            "repository or run assets/fetch_vocabularies.py."
        ) from None
    if actual != expected:
        raise VocabularyError(
            f"The vocabulary file of {base} in assets/tiktoken is damaged (its SHA-256 is not "
            "tiktoken's); restore it from the repository or run assets/fetch_vocabularies.py."
        )
    with _environment:
        before = os.environ.get("TIKTOKEN_CACHE_DIR")
        os.environ["TIKTOKEN_CACHE_DIR"] = str(RANK_FILES)
        try:
            from tiktoken_ext import openai_public

            return openai_public.ENCODING_CONSTRUCTORS[base]()
        finally:
            if before is None:
                del os.environ["TIKTOKEN_CACHE_DIR"]
            else:
                os.environ["TIKTOKEN_CACHE_DIR"] = before


def _cut_long_runs(text: str) -> list[str]:
    """Cut a text inside every run, of spaces or of anything else, longer than `_MAX_RUN`."""
    pieces, start, run, was_blank = [], 0, 0, False
    for position, character in enumerate(text):
        blank = character.isspace()
        run = run + 1 if blank == was_blank else 1
        was_blank = blank
        if run > _MAX_RUN:
            pieces.append(text[start:position])
            start, run = position, 1
    return [*pieces, text[start:]]
