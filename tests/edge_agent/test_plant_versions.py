"""Fingerprints tell what changes figures from what does not, in every process alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.journal import RevisionCause
from edge_agent.plant_versions import Edit, Prints, edited, versions_of
from edge_agent.replay.strands import fingerprints
from kpi.elements import HOUR_NS
from tests.edge_agent.scripted import NOON, Bench

DAY_NS = 24 * HOUR_NS
ROOT = Path(__file__).parents[2]


def prints(bench: Bench) -> Prints:
    return versions_of(bench.compiled.plant, [tag.name for tag in bench.compiled.tags.tags])


@pytest.mark.parametrize(
    ("old", "new", "causes"),
    [
        ("path: w, unit: W", "path: watts, unit: W", {}),
        ("host: 127.0.0.1", "host: 127.0.0.2", {}),
        ("- {id: m1", "- {id: m0, profile: station}\n      - {id: m1", {}),
        ("area: hall", "area: yard", {}),
        ('start: "18:00", end: "06:00"', 'start: "19:00", end: "06:00"', RevisionCause.CALENDAR_EDIT),
        ("A: 10 s", "A: 11 s", RevisionCause.RECOMPUTATION),
        ("state: breakdown", "state: stopped", RevisionCause.RECOMPUTATION),
        ("link_holds: 30 s", "link_holds: 40 s", RevisionCause.RECOMPUTATION),
    ],
)
def test_an_edit_is_of_the_calendar_of_the_rules_or_of_nothing_that_counts(
    tmp_path: Path, old: str, new: str, causes: RevisionCause | dict[str, RevisionCause]
) -> None:
    bench = Bench(tmp_path)
    before = prints(bench)
    bench.edit(old, new)
    expected = causes if isinstance(causes, dict) else dict.fromkeys(("m1", "m2"), causes)
    found = edited(before, prints(bench), NOON, NOON + DAY_NS)
    assert {machine: edit.cause for machine, edit in found.items()} == expected


def test_a_planned_stop_that_becomes_maintenance_is_an_edit_from_its_start_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.edit("calendar:\n", "calendar:\n  planned_stops: [{start: 2026-10-01 08:00, end: 2026-10-01 09:00}]\n")
    before, kept = prints(bench), fingerprints(bench.compiled)
    bench.edit("09:00}]", "09:00, kind: maintenance}]")
    edit = Edit(RevisionCause.CALENDAR_EDIT, int(NOON + 2 * HOUR_NS))
    assert edited(before, prints(bench), NOON, NOON + DAY_NS) == dict.fromkeys(("m1", "m2"), edit)
    assert fingerprints(bench.compiled)["m1"] != kept["m1"]


@pytest.mark.parametrize(
    ("old", "new", "since"),
    [
        ('end: "18:00"}', 'end: "18:00", breaks: [{start: "09:30", end: "10:15"}]}', NOON + 3.5 * HOUR_NS),
        ("{name: night,", "{name: late,", NOON + 12 * HOUR_NS),
        ("calendar:\n", "calendar:\n  holidays: [2026-10-02]\n", None),
        ("calendar:\n", "calendar:\n  holidays: [2026-10-01]\n", NOON),
        (
            "calendar:\n",
            "calendar:\n  planned_stops: [{start: 2026-10-01 08:00, end: 2026-10-01 09:00}]\n",
            NOON + 2 * HOUR_NS,
        ),
        ("Europe/Berlin", "Europe/Paris", NOON),  # the same wall clock, but who knows since when
    ],
)
def test_a_calendar_edit_touches_nothing_before_the_first_time_that_is_planned_otherwise(
    tmp_path: Path, old: str, new: str, since: float | None
) -> None:
    """Within a day from 06:00 local time on."""
    bench = Bench(tmp_path)
    before = prints(bench)
    bench.edit(old, new)
    found = edited(before, prints(bench), NOON, NOON + DAY_NS)
    assert found == (
        {} if since is None else dict.fromkeys(("m1", "m2"), Edit(RevisionCause.CALENDAR_EDIT, int(since)))
    )


def test_what_an_older_program_kept_of_a_calendar_counts_as_another_one(tmp_path: Path) -> None:
    now = prints(Bench(tmp_path))
    before = {machine: ("0123456789abcdef", rules) for machine, (_, rules) in now.items()}
    assert {edit.since for edit in edited(before, now, NOON, NOON + DAY_NS).values()} == {NOON}


def test_the_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    """Sets of texts and dates come in another order there."""
    bench = Bench(tmp_path)
    bench.edit("calendar:", "calendar:\n  holidays: [2026-10-03, 2026-12-25, 2026-12-26, 2026-05-01]")
    script = (
        "from pathlib import Path\n"
        "from config.compiler import compile_plant\n"
        "from config.loader import load\n"
        "from connectors import TextCodes\n"
        "from edge_agent.plant_versions import versions_of\n"
        f"compiled = compile_plant(load(Path({str(bench.yaml)!r})), TextCodes())\n"
        "print(versions_of(compiled.plant, [tag.name for tag in compiled.tags.tags]))"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
        )
        assert done.stdout.strip() == str(prints(bench)), done.stderr
