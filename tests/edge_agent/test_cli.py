"""The command line: exit codes, sentences in place of tracebacks, and what each command prints."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from edge_agent.cli import main
from edge_agent.journal import JournalReader
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, run, tick
from tests.edge_agent.test_pipeline import producing
from tests.services.process import wait_until

ROOT = Path(__file__).parents[2]


def called(*arguments: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A plant whose journal holds three hours of one machine and nothing of the other."""
    bench = Bench(tmp_path_factory.mktemp("plant"))
    floor = ScriptedConnector()
    agent = bench.agent(floor, refresh_ns=1 << 62)
    whole = producing(bench, 3 * 3600)

    async def script() -> None:
        for _ in range(12):
            now = bench.clock()
            floor.put(whole.where((whole.time >= now) & (whole.time < now + 900 * SECOND)))
            bench.clock.advance(900)
            agent.pipeline._status_at = 0
            await tick(agent)

    run(agent, script)
    return bench


@pytest.mark.parametrize(
    "command",
    ["run", "validate", "schema", "demo", "simulate", "export", "status", "grafana apply", "grafana export"],
)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(*command.split(), "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: edge-agent {command}" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["run"],
        ["run", "no-such-file.yaml"],
        ["validate", "no-such-file.yaml"],
        ["status", "no-such.journal"],
        ["demo", "--speed", "fast"],
        ["demo", "--influx", "localhost"],
        ["export", "no-such.journal", "--out", "x.csv"],
        ["export", "--window", "week", "--out", "x.csv"],
        ["grafana", "apply", "--url", "http://localhost:3000"],
        ["grafana", "apply", "--url", "nonsense", "--token", "t"],
    ],
)
def test_bad_input_ends_with_2_and_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    code = called(*arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert said.err.strip()
    assert said.out == ""
    expected = 1 if arguments[:2] == ["grafana", "apply"] and "--token" in arguments else 2
    assert code == expected


def test_all_faults_of_a_plant_file_are_told_with_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    text = bench.yaml.read_text().replace("stale_after: never", "stale_aftr: never").replace("power:", "powr:")
    bench.yaml.write_text(text)
    assert called("validate", bench.yaml) == 2
    said = capsys.readouterr().err
    assert "2 faults" in said
    assert "did you mean `stale_after`?" in said
    assert "did you mean `power`?" in said


def test_validate_shows_what_would_be_collected(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("validate", bench.yaml) == 0
    shown = capsys.readouterr().out
    assert "mqtt://127.0.0.1:1" in shown
    assert "m2" in shown


def test_validate_shows_on_request_which_kpis_cannot_be_had(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("validate", bench.yaml, "--kpis") == 0
    shown = capsys.readouterr().out
    assert "For want of" in shown
    assert "finished_goods_ratio" in shown


def test_validate_shows_of_which_measured_values_capability_can_be_had(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("validate", bench.yaml, "--kpis") == 0
    assert "no machine has a measured value" in capsys.readouterr().out
    measured = "bore: {path: b, limits: {lower: 9, upper: 11}}, torque: {path: q, limits: {lower: 20}}, heat: {path: h}"
    yaml, without = tmp_path / "measured.yaml", "{id: m1, profile: station}"
    yaml.write_text(bench.yaml.read_text().replace(without, f"{without[:-1]}, measured: {{{measured}}}}}"))
    assert called("validate", yaml, "--kpis") == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "m1 bore 9 – 11 cm, cmk, cp, cpk, pp, ppk",
        "torque 20 – none cmk, cpk, ppk",
        "heat – none: it has no `limits`",
    ):
        assert line in shown


def test_schema_is_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("schema") == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")


def test_status_shows_connections_outbox_last_tick_and_kpis(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for source in (bench.yaml, bench.path):
        assert called("status", source) == 0
        shown = capsys.readouterr().out
        for expected in ("floor", "outbox empty", "last tick", "m1", "producing", "plant works"):
            assert expected in shown


def test_status_as_json_holds_the_same(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("status", bench.path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kpi_today"]["m1"]["availability"] == 1.0
    assert found["kpi_today"]["m2"]["availability"] is None
    assert found["connections"][0]["configured"] == 1


def test_status_check_fails_for_an_agent_that_was_never_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    bench.agent().close()
    assert called("status", bench.path, "--check") == 1
    assert "never ticked" in capsys.readouterr().err
    assert called("status", bench.path) == 0


def test_an_export_holds_every_window_that_begins_in_the_asked_time_whole(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    begin = "2026-10-01T05:00+02:00"  # before NOON, which is the third hour of the day in UTC
    assert called("export", bench.path, "--from", begin, "--window", "hour", "--out", out) == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    machines = [row for row in rows if row["machine"] == "m1"]
    assert sum(float(row["gq [pieces]"]) for row in machines) == 3 * 360 - 1
    assert {row["level"] for row in rows} == {"machine", "line", "area", "site"}
    assert machines[0]["start"].endswith("+02:00")
    assert [row["provisional"] for row in machines][-1] == "true"


def test_all_formats_and_windows_hold_the_same_figures(bench: Bench, tmp_path: Path) -> None:
    for window in ("hour", "shift", "day"):
        found = {}
        for form in ("csv", "json", "parquet"):
            out = tmp_path / f"{window}.{form}"
            assert called("export", bench.yaml, "--window", window, "--format", form, "--out", out) == 0
            found[form] = out
        as_csv = pl.read_csv(found["csv"])
        as_json = json.loads(found["json"].read_text())
        as_parquet = pl.read_parquet(found["parquet"])
        assert as_csv["gq [pieces]"].to_list() == as_parquet["gq"].to_list()
        assert [row["oee"] for row in as_json["rows"]] == as_parquet["oee"].to_list()
        assert as_json["units"]["energy"] == "kWh"
        assert "units" in pl.read_parquet_metadata(found["parquet"])


@pytest.mark.parametrize("what", [[], ["--measured"], ["--decisions"]])
@pytest.mark.parametrize(
    ("name", "begins"), [("m.json", b"{"), ("m.CSV", b"level,"), ("m.parquet", b"PAR1"), ("m", b"level,")]
)
def test_the_format_of_an_export_is_that_of_its_names_ending(
    bench: Bench, tmp_path: Path, name: str, begins: bytes, what: list[str]
) -> None:
    out = tmp_path / name
    code = called("export", bench.path, "--window", "day", *what, "--out", out)
    if what == ["--measured"]:  # the plant measures nothing, which is said before a file is made
        assert code == 1
        return
    assert code == 0
    assert out.read_bytes().startswith(b"site," if what and begins == b"level," else begins)


@pytest.mark.parametrize("what", [[], ["--measured"], ["--decisions"]])
def test_a_format_that_contradicts_the_ending_is_refused(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: list[str]
) -> None:
    assert called("export", bench.path, *what, "--format", "csv", "--out", tmp_path / "m.json") == 2
    assert "--format csv would be written into a file that ends in .json: name it m.csv" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", ["1.10.2026 6:00", "01.10.2026 06:00", "01.10.2026T06:00:00"])
def test_a_date_may_be_written_with_the_day_first_and_dots(bench: Bench, tmp_path: Path, written: str) -> None:
    """As replay reads it in archives; never the month first."""
    out = [tmp_path / name for name in ("a.csv", "b.csv")]
    assert called("export", bench.path, "--from", "2026-10-01T06:00", "--out", out[0]) == 0
    assert called("export", bench.path, "--from", written, "--out", out[1]) == 0
    assert out[0].read_text() == out[1].read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["export", "--window", "weak"],
            "--window: 'weak' is not one of hour, shift, day, week, month, did you mean `week`?",
        ),
        (["export", "--format", "xml"], "--format: 'xml' is not one of csv, json, parquet"),
        (["replay", "--layout", "wid"], "did you mean `wide`?"),
        (["explain", "oee", "--window", "mont"], "did you mean `month`?"),
    ],
)
def test_a_word_that_is_no_choice_is_told_with_the_nearest_that_is(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    command, *rest = arguments
    out = ["--out", str(tmp_path / "x")] if command == "export" else []
    assert called(command, *rest, *out) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Value error" not in shown


def test_the_package_can_be_run_as_a_module() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "edge_agent", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("edge-agent ")


def test_a_time_without_offset_is_the_plants_wall_clock(bench: Bench, tmp_path: Path) -> None:
    with JournalReader(bench.path) as reader:
        first, _ = reader.span() or (0, 0)
    assert first == NOON
    out = [tmp_path / name for name in ("a.csv", "b.csv")]
    assert called("export", bench.path, "--from", "2026-10-01T06:00", "--out", out[0]) == 0
    assert called("export", bench.path, "--from", "2026-10-01T04:00Z", "--out", out[1]) == 0
    assert out[0].read_text() == out[1].read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--from", "yesterday"], 2, "expected a time such as"),
        (["--from", "2026-10-02", "--to", "2026-10-01"], 2, "must be later than"),
        (["--from", "2020-01-01", "--to", "2020-02-01"], 1, "no data in the asked time"),
    ],
)
def test_an_export_that_cannot_be_says_why(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert called("export", bench.path, *arguments, "--out", tmp_path / "x.csv") == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_source_the_only_journal_of_the_folder_is_read(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.path.parent)
    assert called("status") == 0
    assert "plant.journal" in capsys.readouterr().out


def test_a_journal_in_use_is_a_sentence_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(tmp_path)
    agent = bench.agent()
    assert called("run", bench.yaml) == 1
    agent.close()
    assert "in use by another agent" in capsys.readouterr().err


def test_grafana_export_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("grafana", "export", tmp_path / "grafana") == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert written
    assert all(path.is_file() for path in written)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_cleanly_at_a_signal_and_logs_json_lines_into_a_pipe(tmp_path: Path, how: signal.Signals) -> None:
    bench = Bench(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", "from edge_agent.cli import main; main()", "run", str(bench.yaml)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # line by line: the agent has said that it started, so its journal is made
        assert process.stderr is not None
        said = process.stderr.readline()
        wait_until(lambda: process.poll() is not None or has_ticked(bench.path), "the agent has ticked")
        process.send_signal(how)
        said += process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events[0] == "agent_started"
    assert events[-1] == "agent_stopped"


def has_ticked(journal: Path) -> bool:
    with JournalReader(journal) as reader:
        return "agent" in reader.status()
