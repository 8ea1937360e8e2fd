"""Known holes in what requirements.lock installs: `python -m tests.audit`, part of `make check`.

Asks PyPI through pip-audit. Where PyPI does not answer, it says so and is content: a check that
needs a network must not stop work on a train.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
TIMEOUT_S = 60  # 12 s here for a hundred packages
COMMAND = ("--progress-spinner", "off", "--disable-pip", "--require-hashes", "-f", "json", "-r")


def audit(lock: Path = LOCK, program: str | None = None) -> tuple[bool, str]:
    """Whether nothing is known against the lock, and a sentence."""
    program = program or str(Path(sys.executable).parent / "pip-audit")
    try:
        done = subprocess.run(
            [program, *COMMAND, str(lock)], capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return True, "audit: skipped, pip-audit got no answer from PyPI"
    asked = [package for package in found if "skip_reason" not in package]
    if not asked:
        return True, f"audit: skipped, this index knows nothing about {len(found)} packages"
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, "
        f"mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in asked
        for hole in package["vulns"]
    ]
    if holes:
        return False, "audit: known holes; raise the version and `make lock`\n  " + "\n  ".join(
            holes
        )
    return True, f"audit: {len(asked)} of {len(found)} packages asked for, no known hole"


def main() -> None:
    """Print the sentence; exit code 1 where there are holes."""
    good, sentence = audit()
    print(sentence)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
