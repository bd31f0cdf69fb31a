"""What is said of the correction horizon: how much is held, and what it takes to hold all of it."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.corrections import correction_facts, correction_words, estimate
from edge_agent.journal import ArchiveFacts
from kpi.elements import HOUR_NS
from tests.edge_agent.scripted import NOON, Bench, ScriptedConnector, run

DAY = 24 * HOUR_NS
GB = 1_000_000_000


def facts(archive: ArchiveFacts, *, journal_bytes: int) -> dict[str, object]:
    return correction_facts(
        archive,
        closed=NOON,
        keep_from=NOON - HOUR_NS,
        horizon_ns=7 * DAY,
        most_bytes=2 * GB,
        journal_bytes=journal_bytes,
        restating=None,
    )


def test_a_journal_that_has_room_says_only_how_far_back_samples_are_held() -> None:
    words = correction_words(facts(ArchiveFacts(24, GB // 20, NOON - DAY), journal_bytes=GB // 10), "Europe/Berlin")
    assert words == ["1 day of 7 days, back to 2026-09-30 06:00:00; 50.0 MB of samples are kept for it"]


def test_a_journal_that_will_not_hold_the_horizon_says_so_before_it_is_full() -> None:
    """Half a gigabyte in 25 hours, of which one is in memory, and half a gigabyte of other things."""
    said = facts(ArchiveFacts(24, GB // 2, NOON - 25 * HOUR_NS), journal_bytes=GB)
    assert said["room_ns"] == 3 * DAY
    held, advice = correction_words(said, "UTC")
    assert held.startswith("1 day of 7 days, back to")
    assert advice == (
        "7 days do not fit: at the present rate `agent.journal_size` of 2.0 GB holds about 3 days; make it 4.2 GB, or "
        "`agent.correction_horizon` shorter"
    )


def test_the_size_that_is_advised_holds_the_horizon() -> None:
    archive = ArchiveFacts(24, GB // 2, NOON - 25 * HOUR_NS)
    said = correction_facts(
        archive,
        closed=NOON,
        keep_from=NOON - HOUR_NS,
        horizon_ns=7 * DAY,
        most_bytes=4 * GB,
        journal_bytes=GB,
        restating=None,
    )
    assert len(correction_words(said, "UTC")) == 1


def test_a_plant_that_could_send_too_much_is_told_before_it_starts() -> None:
    assert estimate(1000, 7 * DAY, 2 * GB) is None
    words = estimate(2000, 7 * DAY, 2 * GB)
    assert words is not None
    assert "each of the 2,000 signals" in words
    assert "over 7 days would take about 3.6 GB, and `agent.journal_size` is 2.0 GB" in words


def test_validate_says_what_the_journal_holds(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    floor.put(bench.link(0, 20, 40))
    bench.clock.advance(70)

    async def script() -> None:
        agent.pipeline._status_at = 0
        await agent.pipeline.tick()
        agent.pipeline._status_at = 0
        await agent.pipeline.tick()

    run(agent, script)
    shown = CliRunner().invoke(app, ["validate", str(bench.yaml)], env={"COLUMNS": "300"}).output
    assert "note: the journal holds samples for corrections: " in shown
    assert "of 0.2 h, back to 2026-10-01 06:00" in shown
