"""Read results that are stored beside the weights they were measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from kronviz.checkpoint_files import CheckpointError, fingerprints
from kronviz.errors import InputError
from kronviz.lines import read_bytes
from kronviz.results import from_json


class OfWeights(Protocol):
    """A result that names the weights it was measured on: one fingerprint per arm."""

    @property
    def weights(self) -> dict[str, str]: ...


Stored = TypeVar("Stored", bound=OfWeights)


def read_stored(cls: type[Stored] | Any, path: Path, pair_dir: Path, again: str) -> Stored | None:
    """Return a stored result; ``None`` if there is none or it was measured on other weights.

    Args:
        again: the module of `kronviz.probes` that measures it again, such as ``stored_table``.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        stored: Stored = from_json(cls, read_bytes(path))
    except (ValidationError, InputError, OSError):
        raise CheckpointError(
            f"The file {path.name} of the pair {pair_dir.name} is damaged; write it again with "
            f"`python -m kronviz.probes.{again} checkpoints/{pair_dir.name}`."
        ) from None
    return stored if stored.weights == fingerprints(pair_dir) else None
