"""The shipped examples, with what they take from outside: environment variables and files of secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from config import CompiledPlant, load_and_compile

ROOT: Final = Path(__file__).parent.parent.parent
EXAMPLES: Final = tuple(sorted((ROOT / "config" / "examples").glob("*.yaml")))
ENVIRONMENT: Final = {"INFLUX_TOKEN": "token-of-the-test"}
SECRETS: Final = ("opcua-password", "mqtt-password")
"""Files that examples expect in /run/secrets."""


def compiled_example(path: Path, folder: Path) -> CompiledPlant:
    """The example, compiled from a copy in a folder of the test, where its secrets lie too."""
    return compiled_text(path.read_text(encoding="utf-8"), folder)


def compiled_text(text: str, folder: Path) -> CompiledPlant:
    """A configuration's text, compiled; `/run/secrets` is the folder."""
    for name in SECRETS:
        (folder / name).write_text(f"secret of {name}\n")
    copy = folder / "plant.yaml"
    copy.write_text(text.replace("/run/secrets/", f"{folder}/"), encoding="utf-8")
    return load_and_compile(copy, environment=ENVIRONMENT)
