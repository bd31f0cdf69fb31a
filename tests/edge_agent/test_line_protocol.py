"""Line protocol: what stands in a line, and that the databases read back what was meant."""

from __future__ import annotations

import gzip
import itertools
import math
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.compiled import TagInfo, TagTable
from config.names import Measurement
from connectors import Quality, SampleBatch, TextCodes
from edge_agent.journal import OutboxKind
from edge_agent.line_protocol import Encoded, SignalEncoder, encode_points, gzip_lines
from tests.services.influxdb import DATABASE, InfluxDb, influxdb
from tests.services.victoria_metrics import VictoriaMetrics, victoria_metrics

NAN = math.nan
T0 = 1_790_000_000_000_000_000


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDb]:
    """One server for all examples; each has a `site` of its own."""
    with influxdb(tmp_path_factory.mktemp("influxdb")) as server:
        yield server


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    """An empty VictoriaMetrics."""
    with victoria_metrics(tmp_path_factory.mktemp("victoria")) as server:
        yield server


def tag(machine: str = "press", signal: str = "power", *, text: bool = False, raw: bool = True) -> TagInfo:
    """A tag of machine and signal."""
    return TagInfo(machine, signal, "line 1", "area", "connection", "source", text=text, raw=raw)


def encode(tags: Sequence[TagInfo], batch: SampleBatch, texts: TextCodes | None = None) -> Encoded:
    """The batch as lines of site `s`."""
    return SignalEncoder(TagTable(tuple(tags)), site="s").encode(batch, texts or TextCodes())


def lines_of(encoded: Encoded) -> list[str]:
    """Its lines in the order of their text."""
    return sorted(encoded.lines)


HEAD = r"signal,area=area,line=line\ 1,machine=press,signal=power,site=s"


def test_a_good_sample_is_its_value_and_time() -> None:
    encoded = encode([tag()], SampleBatch.of([0, 0], [T0, T0 + 1], [1.5, -0.1]))
    assert lines_of(encoded) == [f"{HEAD} value=-0.1 {T0 + 1}", f"{HEAD} value=1.5 {T0}"]


def test_an_uncertain_sample_carries_its_quality() -> None:
    encoded = encode([tag()], SampleBatch.of([0], [T0], [1.5], [Quality.UNCERTAIN]))
    assert lines_of(encoded) == [f"{HEAD} value=1.5,quality=1i {T0}"]


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_a_bad_sample_without_a_value_is_its_quality_alone(value: float) -> None:
    encoded = encode([tag()], SampleBatch.of([0, 0], [T0, T0 + 1], [7.0, value], [Quality.GOOD, Quality.BAD]))
    assert lines_of(encoded) == [f"{HEAD} quality=2i {T0 + 1}", f"{HEAD} value=7.0 {T0}"]


def test_a_sample_that_says_nothing_is_no_line_and_is_counted() -> None:
    encoded = encode([tag()], SampleBatch.of([0, 0], [T0, T0 + 1], [7.0, NAN]))
    assert (encoded.points, encoded.without_fields) == (1, 1)


def test_a_text_stands_in_quotes_with_its_quality() -> None:
    texts = TextCodes()
    code = texts.code('RUN "a\\b"')
    batch = SampleBatch.of([0, 0, 0], [1, 2, 3], [code, code, NAN], [Quality.GOOD, Quality.UNCERTAIN, Quality.BAD])
    encoded = encode([tag(text=True)], batch, texts)
    assert lines_of(encoded) == [
        f"{HEAD} quality=2i 3",
        rf'{HEAD} text="RUN \"a\\b\"" 1',
        rf'{HEAD} text="RUN \"a\\b\"",quality=1i 2',
    ]


def test_tags_that_are_not_raw_are_left_out_and_not_counted() -> None:
    encoded = encode([tag(raw=False), tag()], SampleBatch.of([0, 1, 0], [1, 2, 3], [1.0, 2.0, 3.0]))
    assert lines_of(encoded) == [f"{HEAD} value=2.0 2"]
    assert (encoded.collisions, encoded.without_fields) == (0, 0)


def test_of_two_samples_of_one_tag_and_time_the_later_wins_and_is_counted() -> None:
    batch = SampleBatch.of(
        [0, 1, 0, 0], [5, 5, 6, 5], [1.0, 2.0, 3.0, NAN], [Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.BAD]
    )
    encoded = encode([tag(), tag("filler")], batch)
    assert encoded.collisions == 1
    assert lines_of(encoded) == [
        r"signal,area=area,line=line\ 1,machine=filler,signal=power,site=s value=2.0 5",
        f"{HEAD} quality=2i 5",
        f"{HEAD} value=3.0 6",
    ]


def test_an_empty_batch_is_no_entry() -> None:
    assert encode([tag()], SampleBatch.empty()).entries(OutboxKind.RAW) == []


def test_entries_hold_the_lines_in_bodies_of_bounded_size() -> None:
    encoded = encode([tag()], SampleBatch.of([0] * 25, list(range(25)), [0.5] * 25))
    entries = encoded.entries(OutboxKind.RAW, most_lines=10)
    assert [(entry.points, entry.samples) for entry in entries] == [(10, 10), (10, 10), (5, 5)]
    assert b"".join(gzip.decompress(entry.body) for entry in entries).decode() == encoded.text()


def test_computed_points_stand_for_no_samples() -> None:
    table = pl.DataFrame({"time": [T0], "oee": [0.5]})
    (entry,) = encode_points(table, Measurement.KPI, tags=(), fields=("oee",)).entries(OutboxKind.KPI)
    assert (entry.points, entry.samples) == (1, 0)


def test_a_table_row_leaves_out_what_it_does_not_know() -> None:
    table = pl.DataFrame(
        {
            "time": [1, 2, 3, 4],
            "machine": ["a", "", None, "d"],
            "oee": [0.5, NAN, None, math.inf],
            "fe": [1, None, 3, None],
            "provisional": [True, False, None, None],
            "state": ["on", None, "", None],
        }
    )
    encoded = encode_points(table, Measurement.KPI, tags=("machine",), fields=("oee", "fe", "provisional", "state"))
    assert lines_of(encoded) == [
        'kpi fe=3i,state="" 3',
        "kpi provisional=false 2",
        'kpi,machine=a oee=0.5,fe=1i,provisional=true,state="on" 1',
    ]
    assert encoded.without_fields == 1


def test_of_two_rows_of_one_series_and_time_the_later_wins_and_is_counted() -> None:
    table = pl.DataFrame({"time": [1, 1, 2], "machine": ["a", "a", "a"], "oee": [0.1, 0.2, 0.3]})
    encoded = encode_points(table, Measurement.KPI, tags=("machine",), fields=("oee",))
    assert lines_of(encoded) == ["kpi,machine=a oee=0.2 1", "kpi,machine=a oee=0.3 2"]
    assert encoded.collisions == 1


def test_tags_stand_in_the_order_of_their_names() -> None:
    table = pl.DataFrame({"time": [1], "site": ["s"], "line": ["l"], "x": [1.0]})
    assert (
        encode_points(table, Measurement.KPI, tags=("site", "line"), fields=("x",)).text()
        == "kpi,line=l,site=s x=1.0 1\n"
    )


# --- what the servers read ------------------------------------------------------------------------------------------

NASTY = "\\,= \"'\n\r\t\0\x7f#%{}/ü漢😀＼␊\u2028"
names = st.text(st.one_of(st.sampled_from(NASTY), st.characters(codec="utf-8")), min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**63 - 1)
sites = (f"site{n}" for n in itertools.count())


def as_written(name: str) -> str:
    """A tag value as it is after writing, spelled out character by character: the rule of the module, done slowly."""
    seen = ""
    for i, character in enumerate(name):
        following = name[i + 1 : i + 2]
        if character == "\\" and following in {"", "\\", ",", "=", " "}:
            seen += "＼"
        else:
            seen += visible(character)
    return seen


def visible(text: str) -> str:
    """A text without control characters: their pictures in their place."""
    return "".join("␡" if c == "\x7f" else chr(0x2400 + ord(c)) if c < " " else c for c in text)


def write(server: InfluxDb, encoded: Encoded) -> None:
    """Write lines the plain way, without the forwarder."""
    request = urllib.request.Request(
        f"{server.url}/write?db={DATABASE}", gzip_lines(encoded.lines), {"Content-Encoding": "gzip"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204


def read(server: InfluxDb, measurement: str, site: str) -> list[dict[str, Any]]:
    """The points of a site by time; floats as floats, which JSON writes without a point where they are whole."""
    found = []
    for series in server.query(f"SELECT * FROM {measurement} WHERE site = '{site}' GROUP BY *"):
        tags = {name: value for name, value in series["tags"].items() if value != "" and name != "site"}
        for values in series["values"]:
            fields = zip(series["columns"], values, strict=True)
            found.append(tags | {name: float(v) if name in {"value", "number"} else v for name, v in fields})
    return sorted(found, key=lambda point: point["time"])


@given(
    st.lists(st.tuples(names, names, names, numbers), min_size=1, max_size=8, unique_by=lambda row: as_written(row[0]))
)
@example([("a\\", "\\", "\\\\", 5e-324), ("b\\,", "b\\=", "b\\ ", -1.7976931348623157e308), ("\n", "\r\n", "\0", -0.0)])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_influxdb_reads_names_and_numbers_as_they_were_meant(
    influx: InfluxDb, rows: list[tuple[str, str, str, float]]
) -> None:
    site = next(sites)
    tags = TagTable(tuple(TagInfo(m, signal, line, "area", "c", "s") for m, signal, line, _ in rows))
    batch = SampleBatch.of(range(len(rows)), [T0 + i for i in range(len(rows))], [row[3] for row in rows])
    write(influx, SignalEncoder(tags, site=site).encode(batch, TextCodes()))
    expected = [
        {
            "area": "area",
            "machine": as_written(machine),
            "signal": as_written(signal),
            "line": as_written(line),
            "time": T0 + i,
            "value": value,
        }
        for i, (machine, signal, line, value) in enumerate(rows)
    ]
    assert read(influx, "signal", site) == expected


@given(st.lists(st.tuples(st.text(max_size=12), numbers, integers, st.booleans()), min_size=1, max_size=8))
@example([('"\\', 1e-7, -(2**63), True), ("\\\\\n\t", 1e16, 2**63 - 1, False), ("", 0.1, 0, True)])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_influxdb_reads_fields_of_every_type_as_they_were_meant(
    influx: InfluxDb, rows: list[tuple[str, float, int, bool]]
) -> None:
    site = next(sites)
    table = pl.DataFrame(
        {
            "site": [site] * len(rows),
            "time": list(range(len(rows))),
            "text": [row[0] for row in rows],
            "number": [row[1] for row in rows],
            "whole": [row[2] for row in rows],
            "yes": [row[3] for row in rows],
        },
        schema_overrides={"whole": pl.Int64, "number": pl.Float64},
    )
    write(influx, encode_points(table, Measurement.AGENT, tags=("site",), fields=("text", "number", "whole", "yes")))
    expected = [
        {"time": i, "number": row[1], "text": visible(row[0]), "whole": row[2], "yes": row[3]}
        for i, row in enumerate(rows)
    ]
    assert read(influx, "agent", site) == expected


def test_victoriametrics_reads_nasty_names_as_they_were_meant(victoria: VictoriaMetrics) -> None:
    nasty = [
        "a b",
        "a,b",
        "a=b",
        "a\\b",
        "a\\",
        "\\",
        "\\\\",
        "a\\ b",
        "a\\,",
        "\n",
        "a\nb c=1 2",
        '"',
        "ü漢😀",
        "#",
        "'x'",
    ]
    tags = TagTable(tuple(TagInfo(name, f"signal {name}", "line", "area", "c", "s") for name in nasty))
    batch = SampleBatch.of(range(len(nasty)), [T0] * len(nasty), [float(i) for i in range(len(nasty))])
    encoded = SignalEncoder(tags, site="s").encode(batch, TextCodes())
    request = urllib.request.Request(
        f"{victoria.url}/api/v2/write?precision=ns", gzip_lines(encoded.lines), {"Content-Encoding": "gzip"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204
    read_back = {(s["metric"]["machine"], s["metric"]["signal"], s["values"][0]) for s in victoria.export()}
    assert read_back == {(as_written(name), as_written(f"signal {name}"), float(i)) for i, name in enumerate(nasty)}


def test_a_text_that_is_no_unicode_is_still_a_line() -> None:
    texts = TextCodes()
    encoded = encode([tag(text=True)], SampleBatch.of([0], [1], [texts.code("a\ud800b")]), texts)
    assert lines_of(encoded) == [f'{HEAD} text="a?b" 1']
