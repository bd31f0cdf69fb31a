"""What the README says is so: its configuration loads, its commands exist, its formulas are those of the engine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from config import load_and_compile
from edge_agent.cli import app
from kpi.formulas import KPIS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text()
_FACTORS = ("availability", "effectiveness", "quality_ratio")
CLI = typer.main.get_command(app)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


YAML_BLOCKS = [
    (page.name, block)
    for page in PAGES
    if page.name != "configuration.md"  # its blocks are parts of a configuration: tests/config/test_reference.py
    for block in blocks(page.read_text(), "yaml")
]


def test_the_readme_has_a_configuration() -> None:
    assert "README.md" in {page for page, _ in YAML_BLOCKS}


@pytest.mark.parametrize(("page", "block"), YAML_BLOCKS, ids=[page for page, _ in YAML_BLOCKS])
def test_every_yaml_block_is_a_valid_configuration(
    page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that is not a plant's configuration is not marked as YAML."""
    monkeypatch.setenv("INFLUX_TOKEN", "a-token")
    path = tmp_path / "plant.yaml"
    path.write_text(block)
    compiled = load_and_compile(path)
    assert len(compiled.tags) > len(compiled.plant.machines)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, by its words. Only groups have commands of their own."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
    else:
        for name, child in children.items():
            yield from commands(child, (*path, name))


KNOWN = dict(commands(CLI))


def mentioned() -> list[tuple[str, list[str]]]:
    """(page, words after `edge-agent`) of every command line in shell blocks and in code spans."""
    found = []
    for page in PAGES:
        text = page.read_text()
        lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        for line in lines + re.findall(r"`([^`\n]+)`", prose):
            for call in re.findall(r"(?:^|&& *|\| *)(?:\S*/)?edge-agent +([a-z][^|&;>#)]*)", line):
                found.append((page.name, shlex.split(call)))
    return found


@pytest.mark.parametrize(("page", "words"), mentioned(), ids=[f"{page}: {' '.join(w)}" for page, w in mentioned()])
def test_every_command_that_is_named_exists_with_its_options(page: str, words: list[str]) -> None:
    name = next((path for path in KNOWN if tuple(words[: len(path)]) == path), None)
    assert name is not None, f"{page}: `edge-agent {' '.join(words)}` is no command"
    options = {option for parameter in KNOWN[name].params for option in parameter.opts} | {"--help"}
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    assert used <= options, f"{page}: `edge-agent {' '.join(words)}` has options that do not exist"


def test_the_readme_lists_every_command() -> None:
    listed = {tuple(name.split()) for name in re.findall(r"^\| `([a-z ]+)` \|.*`edge-agent", README, re.MULTILINE)}
    assert listed == set(KNOWN)


def test_the_table_of_formulas_is_that_of_the_engine() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| `([^`]+)` \| ([^|]+) \|$", README, re.MULTILINE)
    assert set(rows) <= {(kpi.id, kpi.name_en, kpi.formula, kpi.unit) for kpi in KPIS}
    assert {"oee", *_FACTORS, "scrap_ratio", "first_pass_yield", "energy_per_piece", "coverage"} <= {
        row[0] for row in rows
    }


def test_targets_of_make_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
