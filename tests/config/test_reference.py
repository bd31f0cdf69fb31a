"""The page on the configuration says what the models say, and its examples compile."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from config import load_and_compile
from config.document import read
from docs.configuration import PAGE, page

SNIPPETS: Final = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

BASE: Final = {
    "plant": "{site: works, time_zone: Europe/Berlin}",
    "connections": '{plc: {type: opcua, endpoint: "opc.tcp://10.0.0.1:4840"}, floor: {type: mqtt, host: broker}}',
    "profiles": '{press: {connection: plc, counts: {good: {node: "ns=2;s=G"}}}}',
}
"""What a snippet leaves out."""


def test_the_page_is_what_its_generator_writes() -> None:
    """If this fails, read what changed and run `python -m docs.configuration`."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_of_the_page_compiles(snippet: str, tmp_path: Path) -> None:
    """With a plant around it, in which each of its profiles has a machine."""
    path = tmp_path / "plant.yaml"
    path.write_text(snippet, encoding="utf-8")
    given = read(path, {})[0].tree
    parts = snippet + "".join(f"{name}: {text}\n" for name, text in BASE.items() if name not in given)
    machines = "".join(f"      - {{id: {name}-01, profile: {name}}}\n" for name in given.get("profiles", ["press"]))
    path.write_text(f"{parts}lines:\n  - name: line\n    machines:\n{machines}", encoding="utf-8")
    assert len(load_and_compile(path, environment={}).plant.machines) == len(given.get("profiles", ["press"]))


def test_every_link_within_the_page_leads_to_one_heading() -> None:
    text = re.sub(r"^```.*?^```", "", page(), flags=re.DOTALL | re.MULTILINE)
    anchors = Counter(
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    )
    assert {link for link in re.findall(r"\(#([^)]*)\)", text) if anchors[link] != 1} == set()
