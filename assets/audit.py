"""Ask the advisory database about the pinned dependencies, where a network allows.

    python assets/audit.py

Fails only where the database names a flaw in a version that requirements.txt pins. Without a
network, without pip-audit, or where the answer takes too long, it says so and passes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 40


def main() -> int:
    options = "--no-deps --disable-pip --format json --progress-spinner off --timeout 5".split()
    command = [sys.executable, "-m", "pip_audit", *options, "-r", str(ROOT / "requirements.txt")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print("dependencies: not checked, the advisory database gave no answer")
        return 0
    flaws = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in found
        for flaw in one.get("vulns", ())
    ]
    print("\n".join(flaws) or f"dependencies: no known flaw in {len(found)} pinned packages")
    return int(bool(flaws))


if __name__ == "__main__":
    raise SystemExit(main())
