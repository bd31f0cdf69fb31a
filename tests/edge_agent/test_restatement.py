"""The past is folded again after an edit while live figures go on; in the end all is as if it had always been so."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from connectors import SampleBatch
from edge_agent.journal import JournalReader
from edge_agent.status import read_status, shown
from kpi.elements import HOUR_NS, MINUTE_NS
from tests.edge_agent.scripted import NOON, Bench
from tests.edge_agent.test_corrections import (
    Folder,
    Life,
    bench_in,
    folder,
    history,
    last_entry,
    lines,
    rows,
    without_versions,
)

__all__ = ("folder",)

SETUP = ("{status: 2}, state: breakdown", "{status: 2}, state: setup")
OF_M1 = ("{id: m1, profile: station}", "{id: m1, profile: station, minor_stop: 10 min}")


def ticked(life: Life) -> bool:
    """One tick. Returns whether another one is due at once."""
    return asyncio.run(life.agent.pipeline.tick())


def edited_after(hours: float, folder: Folder, edit: tuple[str, str], *, influx: str | None = None) -> Life:
    """An agent that is begun again with another configuration, some hours after noon."""
    life = Life(bench_in(folder(), influx=influx))
    life.until(hours, history(life.bench, 12))
    life.bench.edit(*edit)
    life.killed_and_begun_again()
    return life


def fresh(folder: Folder, edit: tuple[str, str], hours: float, samples: SampleBatch) -> Bench:
    """The plant that had always been so."""
    bench = bench_in(folder())
    bench.edit(*edit)
    life = Life(bench)
    life.until(hours, samples)
    life.end()
    return bench


def test_minutes_are_closed_while_the_past_is_restated(folder: Folder) -> None:
    """Time goes on by a minute in each tick, so what is live is due in each; the past gets every other one."""
    life = edited_after(9, folder, SETUP, influx="http://127.0.0.1:1")
    whole = history(life.bench, 12)
    closed, queued = [], last_entry(life.bench)
    for _ in range(9):
        before = life.bench.clock.now
        life.bench.clock.advance(60)
        life.floor.put(whole.where((whole.time >= before) & (whole.time < life.bench.clock.now)))
        assert ticked(life)
        closed.append(life.agent.assembly.settled_to)
    assert life.agent.assembly.restating()["percent"] < 100  # type: ignore[index]
    assert closed[-1] >= life.bench.clock.now - 2 * MINUTE_NS
    newest = rows(life.bench).filter(pl.col("time") >= NOON + 9 * HOUR_NS)
    assert newest["time"].n_unique() >= 7
    assert any("window=day" in line and "provisional=true" in line for line in lines(life.bench, queued))
    life.until(12, whole)
    life.end()
    always = fresh(folder, SETUP, 12, whole)
    assert without_versions(rows(life.bench)).equals(without_versions(rows(always)))
    assert without_versions(rows(life.bench, "hour")).equals(without_versions(rows(always, "hour")))
    revised = rows(life.bench).filter(pl.col("revision") > 0)
    assert set(revised.select("revision", "cause").rows()) == {(1, "recomputation")}


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("hours_back", [0.1, 5])
@pytest.mark.parametrize("edit", [SETUP, OF_M1], ids=["all machines", "m1"])
def test_a_sample_that_comes_late_while_the_past_is_restated_corrects_it(
    folder: Folder, edit: tuple[str, str], hours_back: float, kill: bool
) -> None:
    life = edited_after(9, folder, edit)
    whole = history(life.bench, 12)
    late = life.bench.samples(*((f"{m}.state.status", 9 * 3600 - hours_back * 3600 + 7, 2.0) for m in ("m1", "m2")))
    for _ in range(4):
        assert ticked(life)
    life.floor.put(late)
    assert ticked(life)
    if kill:
        assert ticked(life)
        life.killed_and_begun_again()
    life.until(12, whole)
    life.end()
    on_time = SampleBatch.concat([whole, late])
    order = np.argsort(on_time.time, kind="stable")
    always = fresh(
        folder, edit, 12, SampleBatch(*(getattr(on_time, c)[order] for c in ("tag", "time", "value", "quality")))
    )
    assert without_versions(rows(life.bench)).equals(without_versions(rows(always)))
    with JournalReader(life.bench.path) as reader:
        ledger = reader.ledger()
    assert ledger["received"] == sum(ledger[name] for name in ("kept", "thinned:duplicate") if name in ledger)


@pytest.mark.parametrize(
    ("exception", "from_hour"),
    [
        ("2026-10-08: []", None),  # a week ahead
        ("2026-09-01: []", None),  # before anything was known
        ("2026-10-01: []", 0),
    ],
)
def test_a_calendar_edit_restates_from_the_time_on_that_it_is_valid_for(
    folder: Folder, exception: str, from_hour: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    edit = ("calendar:\n", f"calendar:\n  exceptions: {{{exception}}}\n")
    life = edited_after(9, folder, edit)
    said = life.agent.assembly.restating()
    life.tick()
    life.end()
    if from_hour is None:
        assert said is None
        assert not [record for record in caplog.records if "restated" in record.message]
    else:
        assert said is not None
        assert said["since"] == NOON + from_hour * HOUR_NS


def test_only_what_is_after_the_edit_took_effect_is_folded_again(folder: Folder) -> None:
    """The day shift begins an hour later from the second day on: the first day is left alone."""
    life = Life(bench_in(folder()))
    life.until(60, history(life.bench, 62))
    shift = '{name: day, start: "0H:00", end: "18:00"}'
    until, after = shift.replace("}", ", valid_until: 2026-10-01}"), shift.replace("}", ", valid_from: 2026-10-02}")
    edit = (shift.replace("H", "6"), f"{until.replace('H', '6')}\n    - {after.replace('H', '7')}")
    life.bench.edit(*edit)
    life.killed_and_begun_again()
    said = life.agent.assembly.restating()
    assert said is not None
    assert said["since"] == NOON + 24 * HOUR_NS, "06:00 of the second day"
    life.until(61, history(life.bench, 62))
    life.end()
    always = fresh(folder, edit, 61, history(life.bench, 62))
    assert without_versions(rows(life.bench)).equals(without_versions(rows(always)))
    revised = rows(life.bench).filter(pl.col("revision") > 0)
    assert not revised.is_empty()
    assert min(revised["time"]) == said["since"]


def test_status_and_log_say_how_far_it_is_and_what_it_came_to(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    life = edited_after(9, folder, SETUP)
    for _ in range(5):
        assert ticked(life)
    life.agent.pipeline._status_at = 0
    ticked(life)
    half = text_of_status(life.bench.path)
    while ticked(life):
        pass
    life.agent.pipeline._status_at = 0
    ticked(life)
    whole = text_of_status(life.bench.path)
    said = life.agent.pipeline.shown["corrections"]["restating"]
    life.end()
    count = rows(life.bench).filter(pl.col("revision") > 0).height
    assert said["percent"] == 100
    assert said["changed_rows"] == count > 0
    assert "figures since then still change" in half
    assert "% done" in half
    assert f"{count:,} rows" in whole
    facts = {record.message: record.facts for record in caplog.records if "restated" in record.message}  # type: ignore[attr-defined]
    assert facts["past_will_be_restated"]["machines"] == 2
    assert 10 <= facts["past_is_being_restated"]["percent"] < 100
    assert facts["past_is_restated"]["rows"] == count


def text_of_status(path: Path) -> str:
    console = Console(record=True, width=300, file=io.StringIO())
    with JournalReader(path) as reader:
        console.print(shown(read_status(reader)))
    return console.export_text()
