"""Rebuild ``assets/tiktoken/`` from the npm package ``tiktoken``.

The package carries every vocabulary's ranks as ``encoders/<name>.json``. Written out as
``<base64> <rank>`` lines in rank order they are byte for byte the files that tiktoken would
download, which the hashes in tiktoken's own ``openai_public.py`` prove. The files are named as
tiktoken names them in its cache folder: the SHA-1 of the address it would fetch.

    npm pack tiktoken@1.0.22 && tar xzf tiktoken-1.0.22.tgz
    python assets/fetch_vocabularies.py package/encoders
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.tokenizer import RANK_FILES, VOCABULARIES, rank_file


def rank_lines(packed: str) -> bytes:
    """Expand the npm package's ``! <first rank> <base64> <base64> …`` runs to tiktoken's lines."""
    lines: list[tuple[int, str]] = []
    for run in packed.strip().split("\n"):
        _, first, *tokens = run.split(" ")
        lines += [(rank, token) for rank, token in enumerate(tokens, start=int(first))]
    return "".join(f"{token} {rank}\n" for rank, token in sorted(lines)).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("encoders", type=Path, help="folder that holds r50k_base.json and others")
    folder = parser.parse_args().encoders
    RANK_FILES.mkdir(parents=True, exist_ok=True)
    for name, vocabulary in VOCABULARIES.items():
        data = rank_lines(json.loads((folder / f"{name}.json").read_text())["bpe_ranks"])
        digest = hashlib.sha256(data).hexdigest()
        if digest != vocabulary.sha256:
            raise SystemExit(f"{name}: SHA-256 is {digest}, tiktoken expects {vocabulary.sha256}")
        rank_file(name).write_bytes(data)
        print(f"{name}: {len(data):,} bytes, SHA-256 as expected")


if __name__ == "__main__":
    main()
