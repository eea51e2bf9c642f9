"""Upload kronviz as a Hugging Face Space: what it needs to run, and nothing else.

    python deploy/space.py user/name [--gpu]
    python deploy/space.py --dry-run

Hugging Face takes no binary file by plain git, whatever its size, so files go through
`huggingface_hub`. Log in first (``hf auth login``) or set ``HF_TOKEN``.

On the public registry torch for Linux is the CUDA build of several gigabytes. The Space's
requirements name the index of the small build, unless it is to have a GPU (``--gpu``).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PARTS = (
    "README.md", "LICENSE", "app.py", "requirements.txt", "kronviz/", "checkpoints/",
    "assets/tiktoken/", "assets/maps/", "assets/studies/", "assets/pairs.jsonl",
    "assets/passages.txt", "assets/published_robustness.csv", "assets/times.json",
)  # fmt: skip


LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)#]+)[^)]*\)")
"""A picture or a link of the README that leads to a file: mark, text, path."""


def needed_files(root: Path = ROOT) -> list[Path]:
    """List the files of the Space, relative to the checkout: those that git knows, no others."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    shown = [path for mark, _, path in LINK.findall((root / "README.md").read_text()) if mark]
    return [Path(name) for name in sorted(listed) if name and name.startswith((*PARTS, *shown))]


def readme(text: str, uploaded: set[str]) -> str:
    """Return the README for the Space: links to what is not uploaded are their text alone."""
    return LINK.sub(lambda link: link[0] if link[3] in uploaded else link[2], text)


def requirements(text: str, gpu: bool) -> str:
    """Return requirements.txt for the Space: without a GPU, with torch's build for CPUs."""
    if gpu:
        return text
    lines = [
        f"{line}+cpu" if line.startswith("torch==") and "+" not in line else line
        for line in text.splitlines()
    ]
    return "\n".join([f"--extra-index-url {CPU_INDEX}", *lines, ""])


def stage(folder: Path, gpu: bool) -> list[tuple[str, int]]:
    """Copy the Space's files into a folder; return their names and sizes in bytes."""
    staged, needed = [], needed_files()
    for path in needed:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)
        if path.name == "requirements.txt":
            target.write_text(requirements(target.read_text(), gpu))
        if path == Path("README.md"):
            target.write_text(readme(target.read_text(), {str(one) for one in needed}))
        staged.append((str(path), target.stat().st_size))
    return staged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("space", nargs="?", default="", help="user/name")
    parser.add_argument("--dry-run", action="store_true", help="print what would be uploaded")
    parser.add_argument("--gpu", action="store_true", help="keep torch's CUDA build")
    arguments = parser.parse_args()
    if not arguments.dry_run and arguments.space.count("/") != 1:
        parser.error("say which Space: user/name, or --dry-run")
    with tempfile.TemporaryDirectory() as folder:
        staged = stage(Path(folder), arguments.gpu)
        for name, size in staged:
            print(f"{size:>12,}  {name}")
        total = sum(size for _, size in staged)
        print(f"{total:>12,}  bytes in {len(staged)} files")
        if arguments.dry_run:
            return
        from huggingface_hub import HfApi

        api = HfApi()
        api.create_repo(arguments.space, repo_type="space", space_sdk="gradio", exist_ok=True)
        # Files of an earlier version that are no longer needed go.
        made = api.upload_folder(
            repo_id=arguments.space,
            repo_type="space",
            folder_path=folder,
            delete_patterns="*",
            commit_message="kronviz",
        )
        print(made)


if __name__ == "__main__":
    main()
