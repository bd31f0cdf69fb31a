"""`edge-agent status` of journals as they come: without an agent, and what time they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.held_range import HeldRange
from edge_agent.journal import JournalReader
from tests.edge_agent.scripted import NOON, SECOND, Bench
from tests.edge_agent.test_cli import called

MINUTE = 60 * SECOND


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A journal that only a replay wrote: machine m1 has twenty minutes of a day, and no agent ever ran."""
    bench = Bench(tmp_path_factory.mktemp("plant"))
    file = bench.path.parent / "history.csv"
    start = NOON // SECOND
    lines = ["time,tag,value", *(f"{start + 10 * n},m1.state.status,1" for n in range(120))]
    lines += [f"{start + 10 * n},m1.good,{n}" for n in range(120)]
    file.write_text("\n".join(lines) + "\n")
    assert called("replay", bench.yaml, file) == 0
    return bench


def test_a_journal_that_only_a_replay_wrote_says_so(replayed: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("status", replayed.yaml) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "by replay: no agent has run on this journal" in shown
    for of_agents in ("last tick", "ticks", "since the start of the agent", "Connection"):
        assert of_agents not in shown


def test_kpis_of_a_replay_are_those_of_the_last_day_held(replayed: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The day of the replay itself has none."""
    assert called("status", replayed.yaml) == 0
    assert "KPIs of 2026-10-01" in capsys.readouterr().out
    assert called("status", replayed.yaml, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kpi_today"]["m1"]["availability"] == 1.0
    assert facts["seconds_since_tick"] is None


def test_an_agent_that_never_ran_is_not_fresh_after_a_replay(
    replayed: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("status", replayed.yaml, "--check") == 1
    assert "never ticked" in capsys.readouterr().err


def test_status_says_what_time_the_journal_holds(replayed: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("status", replayed.yaml) == 0
    assert "2026-10-01 06:00 – 2026-10-01 06:20" in " ".join(capsys.readouterr().out.split())


def test_what_is_held_is_that_of_the_asked_machines(replayed: Bench, tmp_path: Path) -> None:
    with JournalReader(replayed.path) as reader:
        assert HeldRange.of(reader, ["m1"]) == HeldRange(NOON, NOON + 20 * MINUTE, NOON)
        assert HeldRange.of(reader, ["no such machine"]) is None
    bench = Bench(tmp_path)
    bench.agent().close()
    with JournalReader(bench.path) as reader:
        assert HeldRange.of(reader) is None


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (HeldRange(NOON, NOON + 60 * MINUTE, NOON), "2026-10-01 06:00 – 2026-10-01 07:00"),
        (HeldRange(NOON, NOON + 60 * MINUTE, None), "2026-10-01 06:00 – 2026-10-01 07:00, only hours"),
        (
            HeldRange(NOON - 1440 * MINUTE, NOON + 60 * MINUTE, NOON),
            "2026-09-30 06:00 – 2026-10-01 07:00, minutes from 2026-10-01 06:00",
        ),
    ],
)
def test_what_is_held_is_said_by_the_plants_clock(held: HeldRange, said: str) -> None:
    assert held.words("Europe/Berlin") == said
