"""Bad configurations and what is said of them: one folder a case, `config.yaml` and `error.txt`.

The expected texts are written by hand or accepted by hand, case by case: after reading the new text,
`python -m tests.config.corpus accept CASE …` writes it and shows what changed. There is no way to accept all at once,
because a text that nobody read is not a test.
"""

from __future__ import annotations

import difflib
import sys
from functools import cache
from pathlib import Path
from typing import Final

from config import ConfigError, load_and_compile

CASES: Final = Path(__file__).parent / "cases"

SECRET: Final = "correct-horse-battery-staple"

ENVIRONMENT: Final = {"SECRET": SECRET, "EMPTY": "", "NOT_A_NUMBER": "forty", "INFLUX_TOKEN": SECRET}
"""What the cases may name in `${…}`."""


def cases() -> list[str]:
    """Names of all cases."""
    return sorted(folder.name for folder in CASES.iterdir() if folder.is_dir())


@cache
def said_of(case: str) -> str:
    """What the loader says of a case, with the file's name alone in place of its path."""
    path = CASES / case / "config.yaml"
    try:
        load_and_compile(path, environment=ENVIRONMENT)
    except ConfigError as error:
        return f"{error}\n".replace(str(path), "config.yaml")
    return "no fault\n"


def expected_of(case: str) -> str:
    """The accepted text of a case; empty for a new one."""
    path = CASES / case / "error.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def accept(case: str) -> None:
    """Write what is said now as what is expected, and show the difference."""
    before, now = expected_of(case), said_of(case)
    sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), now.splitlines(True), f"{case} before", "now"))
    (CASES / case / "error.txt").write_text(now, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] != ["accept"] or len(sys.argv) < 3:
        raise SystemExit("usage: python -m tests.config.corpus accept CASE …")
    for name in sys.argv[2:]:
        accept(name)
