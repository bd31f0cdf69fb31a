"""What the operator reads when the configuration is wrong, word for word; `tests.config.corpus` tells how to accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import ConfigError, load, load_and_compile
from config.errors import nearest
from tests.config.corpus import SECRET, cases, expected_of, said_of


@pytest.mark.parametrize("case", cases())
def test_a_bad_configuration_is_told_in_exactly_these_words(case: str) -> None:
    assert said_of(case) == expected_of(case)


@pytest.mark.parametrize("case", cases())
def test_no_text_shows_a_secret(case: str) -> None:
    """Neither what was put in for an expression, nor what the cases have instead of a password (`hunter2`)."""
    said = said_of(case)
    assert SECRET not in said
    assert "hunter2" not in said


def test_there_are_enough_cases() -> None:
    assert len(cases()) >= 25


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path}/none.yaml: 1 fault\n  cannot be read: no such file or directory"


def test_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: 1 fault\n  is a folder; name the YAML file in it"


def test_a_name_that_no_file_can_have_is_said() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load("a\0b")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(3_000_000_000)  # a hole: it takes no room
    with pytest.raises(ConfigError, match="is larger than 8 MB"):
        load(path)


def test_a_secret_file_that_is_huge_or_binary_is_refused(tmp_path: Path) -> None:
    huge, binary, plant = tmp_path / "huge", tmp_path / "binary", tmp_path / "plant.yaml"
    huge.write_bytes(b"x" * 70_000)
    binary.write_bytes(b"\xff\xfe\x00")
    plant.write_text(f'plant: {{site: "${{file:{huge}}}", time_zone: "${{file:{binary}}}"}}\nlines: []\n')
    with pytest.raises(ConfigError) as caught:
        load(plant)
    assert [fault.message for fault in caught.value.faults] == [
        f"`{huge}` is larger than 64 KiB; is it the right file?",
        f"`{binary}` is not UTF-8 text",
        "expected at least one",
    ]


def test_many_faults_are_cut_to_what_can_be_read(tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    machines = "".join(f"      - {{id: m-{n}, profile: none}}\n" for n in range(80))
    plant.write_text(f"plant: {{site: works, time_zone: UTC}}\nlines:\n  - name: a\n    machines:\n{machines}")
    with pytest.raises(ConfigError) as caught:
        load_and_compile(plant)
    assert len(caught.value.faults) == 80
    assert str(caught.value).splitlines()[-1] == "  and 30 more; put these right first"


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("oea", ["ooe", "oee", "teep"], "oee"),
        ("devcie", ["devise", "device"], "device"),
        ("weak", ["hour", "shift", "day", "week", "month"], "week"),
        ("?", ["oee"], None),
    ],
)
def test_the_nearest_word_is_the_one_with_the_fewest_slips_of_a_hand(
    word: str, known: list[str], meant: str | None
) -> None:
    """A letter mistaken in its place, or two that are swapped, before one that is taken out and put in elsewhere."""
    assert nearest(word, known) == meant
