"""Decisions about counters are kept: live as replayed, corrected with their minutes, shown and written on request."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from config.compiler import compile_plant
from connectors import TextCodes
from edge_agent.explain import Question, explain, shown
from edge_agent.journal import JournalReader
from kpi.elements import MINUTE_NS
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, run, tick
from tests.edge_agent.test_cli import called
from tests.edge_agent.test_replay import LATER, edited, live, parquet, replayed, stream


def decisions_of(path: Path, until: int = LATER) -> pl.DataFrame:
    with JournalReader(path) as reader:
        return reader.decisions(0, until)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Path]:
    """A plant of which an hour was replayed, and the journal."""
    bench = Bench(tmp_path_factory.mktemp("plant"))
    replayed(bench, parquet(bench, stream(bench, 12, 60)))
    return bench, bench.path.parent / "replayed.journal"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_replay_decides_as_the_live_agent_did(tmp_path: Path, seed: int) -> None:
    bench = Bench(tmp_path)
    batch = stream(bench, seed, 40)
    live(bench, batch)
    replayed(bench, parquet(bench, batch))
    end = int(batch.time.max()) // MINUTE_NS * MINUTE_NS
    assert len(decisions_of(bench.path, end)) > 1
    assert_frame_equal(decisions_of(tmp_path / "replayed.journal", end), decisions_of(bench.path, end))


def test_replayed_again_decisions_stay_and_recomputed_they_are_those_of_the_corrected_plant(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    file = parquet(bench, stream(bench, 12, 60))
    path, fresh = tmp_path / "replayed.journal", tmp_path / "fresh.journal"
    replayed(bench, file)
    before = decisions_of(path)
    bench = edited(bench, "counts: {good: {path: g}", "counts: {good: {path: g, fastest_cycle: 5 s}")
    replayed(bench, file)
    assert_frame_equal(decisions_of(path), before)
    replayed(bench, file, recompute=True)
    replayed(bench, file, journal=fresh)
    assert "jump" in decisions_of(fresh)["verdict"]
    assert_frame_equal(decisions_of(path), decisions_of(fresh))


def test_a_late_reading_that_adds_nothing_is_kept_and_one_that_explains_another_takes_its_place(
    tmp_path: Path,
) -> None:
    """No element row changes with the step back, so it must not hang on rows that do."""
    bench, floor = Bench(tmp_path), ScriptedConnector()
    agent = bench.agent(floor)
    told: list[list[str]] = []

    async def script() -> None:
        floor.put(bench.samples(("m1.good", 10.0, 50.0), ("m1.good", 70.0, 51.0)))
        floor.put(bench.samples(("m1.state.status", 0.0, 1.0)))
        for n, late in enumerate(((), (("m1.good", 80.0, 48.0),), (("m1.good", 75.0, 48.0), ("m1.good", 65.0, 47.0)))):
            floor.put(bench.link(*range(130 * n, 130 * n + 130, 10)))
            bench.clock.advance(130)
            floor.put(bench.samples(*late))
            await tick(agent)
            told.append(
                [f"{v} {b:g}>{r:g}" for v, b, r in decisions_of(bench.path)["verdict", "before", "reading"].rows()]
            )

    run(agent, script)
    assert told == [[], ["step_back 51>48"], ["step_back 50>47", "step_back 51>48", "step_back 51>48"]]


def explained(bench: Bench, path: Path, kpi: str = "oee", window: str = "day") -> dict[str, object]:
    """What `explain` says of m1 of the replayed time, as JSON brings it over."""
    with JournalReader(path) as reader:
        plant = compile_plant(bench.config, TextCodes(reader.texts()))
        question = Question(kpi, "machine", "m1", window, NOON + 60 * SECOND)  # type: ignore[arg-type]
        facts: dict[str, object] = json.loads(json.dumps(explain(reader, plant, question)))
    return facts


def test_after_a_replay_a_number_is_explained_with_the_decisions_that_were_kept(replay: tuple[Bench, Path]) -> None:
    bench, path = replay
    pedigree = explained(bench, path)["pedigrees"][0]  # type: ignore[index]
    assert "replay" in pedigree["samples"]["why_not"]
    kept = decisions_of(path).filter(machine="m1")
    found = pedigree["decisions"]
    assert [row["at"] for row in found["rows"]] == sorted(kept["time"], reverse=True)
    assert sum(one["times"] for one in found["counts"]) == kept["times"].sum() > 0
    assert {one["not_listed"] for one in found["counts"]} == {0}


def test_of_many_decisions_the_newest_are_listed_and_the_others_counted(
    replay: tuple[Bench, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, path = replay
    monkeypatch.setattr("edge_agent.explain.decisions.MOST_LISTED", 2)
    facts = explained(bench, path)
    found = facts["pedigrees"][0]["decisions"]  # type: ignore[index]
    kept = decisions_of(path).filter(machine="m1")
    assert [row["at"] for row in found["rows"]] == sorted(kept["time"], reverse=True)[:2]
    assert sum(one["not_listed"] for one in found["counts"]) == kept["times"].sum() - 2 > 0
    assert "and older ones: " in words_of(facts)


def words_of(facts: dict[str, object]) -> str:
    console = Console(width=160, record=True, file=StringIO())
    console.print(shown(facts))
    return console.export_text()


def test_energy_is_not_explained_with_decisions_about_pieces(replay: tuple[Bench, Path]) -> None:
    bench, path = replay
    assert explained(bench, path, "idle_energy_share")["pedigrees"][0]["decisions"]["rows"] == []  # type: ignore[index]
    assert explained(bench, path, "availability")["pedigrees"][0]["decisions"] is None  # type: ignore[index]


def test_decisions_are_written_to_a_file_one_by_one(replay: tuple[Bench, Path], tmp_path: Path) -> None:
    _, path = replay
    kept = decisions_of(path)
    out = {form: tmp_path / f"out.{form}" for form in ("csv", "json", "parquet")}
    for form, file in out.items():
        assert called("export", path, "--decisions", "--format", form, "--from", "2026-10-01", "--to", "2026-10-02",
                      "--out", file) == 0  # fmt: skip
    with out["csv"].open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["verdict"] for row in rows] == kept["verdict"].to_list()
    assert [float(row["counted"]) for row in rows] == [counted / 1e6 for counted in kept["counted"]]
    assert {(row["site"], row["line"], row["unit"]) for row in rows} == {("works", "one", "pieces")}
    as_json = json.loads(out["json"].read_text())["rows"]
    assert [row["time"] for row in as_json] == [row["time"] for row in rows]
    assert "absent" not in as_json[0]
    assert pl.read_parquet(out["parquet"])["time"].dt.epoch("ns").to_list() == kept["time"].to_list()


def test_a_file_without_decisions_says_that_there_were_none(replay: tuple[Bench, Path], tmp_path: Path) -> None:
    _, path = replay
    out = tmp_path / "out.csv"
    assert called("export", path, "--decisions", "--from", "2026-09-01", "--to", "2026-09-02", "--out", out) == 0
    assert out.read_text().startswith("site,area,line,machine,counter,unit,time,verdict,")
    assert len(out.read_text().splitlines()) == 1


def test_time_of_which_no_decisions_are_kept_is_not_said_to_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its minutes are gone, and their decisions with them: three hours, of which one is kept."""
    bench = edited(Bench(tmp_path), "journal: ", "keep_minutes: 1 h, journal: ")
    replayed(bench, parquet(bench, stream(bench, 12, 180)))
    path = tmp_path / "replayed.journal"
    assert called("export", "--journal", path, "--decisions", "--out", tmp_path / "decisions.csv") == 0
    assert "decisions are kept from" in capsys.readouterr().err
    facts = explained(bench, path, window="hour")
    found = facts["pedigrees"][0]["decisions"]  # type: ignore[index]
    assert found["from"] >= found["end"]
    told = StringIO()
    Console(file=told, width=200).print(shown(facts))
    assert "decisions about counters are held from" in told.getvalue()
    assert "none, every reading counted on" not in told.getvalue()
