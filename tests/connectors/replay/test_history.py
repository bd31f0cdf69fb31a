"""Files as historians, spreadsheets and gateways write them: what they mean is found, what is odd is counted."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from connectors import TextCodes
from connectors.replay import Contents, History, HistoryError, HistoryFault, HistoryTags, ReplaySettings
from connectors.replay.spool import Spool
from connectors.samples import SampleBatch

SECOND = 1_000_000_000
NAMES = ("m1.good", "m1.state.status", "m1.product", "m2.good", "m1.energy")
Row = tuple[str, str, float, int]


def settings(*files: Path, **options: object) -> ReplaySettings:
    tags = HistoryTags(
        NAMES,
        text=np.array([name.endswith("product") for name in NAMES]),
        group=np.array([0, 0, 0, 1, 0], np.int32),
        meter=np.array([name.endswith("energy") for name in NAMES]),
        aliases={"ns=2;s=CNC01.Good": 0},
    )
    told: dict[str, object] = {"time_zone": "Europe/Berlin", "latest": ns("2030-01-01T00:00:00+00:00"), **options}
    return ReplaySettings(files, tags, **told)  # type: ignore[arg-type]


def ns(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000) * 1_000_000


def read(folder: Path, *files: Path, **options: object) -> tuple[list[Row], Contents]:
    """(UTC time, tag, value, quality) of all samples in order, texts as their length below zero, and what was said."""
    texts = TextCodes()
    parts = folder / "parts"
    parts.mkdir()
    history = History(settings(*files, **options), texts, parts)
    contents = history.read()
    batch = history.until(1 << 62)
    rows = [
        (str(np.datetime64(time, "ns"))[:23].removesuffix(".000"), NAMES[tag], value, quality)
        for tag, time, value, quality in zip(
            batch.tag.tolist(), batch.time.tolist(), batch.value.tolist(), batch.quality.tolist(), strict=True
        )
    ]
    assert len(batch) == contents.samples
    assert contents.received == contents.samples + contents.tally.set_aside
    assert not list(parts.iterdir())
    return rows, contents


def csv(folder: Path, text: str, name: str = "history.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


NOON: list[Row] = [("2025-06-01T10:00:00", "m1.good", 1.5, 0), ("2025-06-01T10:00:01", "m2.good", 2.0, 0)]

LONG: Mapping[str, str] = {
    "iso, own names": "time,tag,value\n2025-06-01T10:00:00Z,m1.good,1.5\n2025-06-01T12:00:01+02:00,m2.good,2\n",
    "local time of the plant": "timestamp,TagName,vValue\n2025-06-01 12:00:00,m1.good,1.5\n"
    "2025-06-01 12:00:01,M2.Good,2",
    "machine and signal": "DateTime,machine,signal,value\n2025-06-01 12:00,m1,good,1.5\n"
    "2025-06-01 12:00:01,m2,good,2\n",
    "epoch seconds": "ts;name;val;quality\n1748772000;m1.good;1,5;192\n1748772001;m2.good;2;192\n",
    "epoch milliseconds": "ts\tname\tval\n1748772000000\tm1.good\t1.5\n1748772001000\tm2.good\t2\n",
    "epoch nanoseconds": "ts,name,val\n1748772000000000000,m1.good,1.5\n1748772001000000000,m2.good,2.0\n",
    "spreadsheet in German": (
        "Auswertung Juni\n\nZeitstempel;Variable;Wert\n01.06.2025 12:00:00;m1.good;1,5\n"
        "01.06.2025 12:00:01;m2.good;2,0\n"
    ),
    "day and time apart": "Datum;Uhrzeit;Tag;Wert\n01.06.2025;12:00:00;m1.good;1,5\n01.06.2025;12:00:01;m2.good;2\n",
    "PI": "Tag,Timestamp,Value,Status\nm1.good,01-Jun-2025 12:00:00,1.5,Good\nm2.good,01-Jun-2025 12:00:01,2,Good\n",
    "in Chinese": "时间,点名,数值,质量\n2025/6/1 12:00:00,m1.good,1.5,良好\n2025/6/1 12:00:01,m2.good,2,良好\n",
    "day first, shown by one cell": "time,tag,value\n01/06/2025 12:00:00,m1.good,1.5\n01/06/2025 12:00:01,m2.good,2\n"
    "13/06/2025 12:00:00,nobody,1\n",
    "twelve hours": "time,tag,value\n6/1/2025 12:00:00 PM,m1.good,1.5\n6/1/2025 12:00:01 PM,m2.good,2\n"
    "6/13/2025 1:00:00 AM,nobody,1\n",
    "InfluxDB": "#group,false\n\n_time,_value,machine,signal\n2025-06-01T10:00:00Z,1.5,m1,good\n"
    "2025-06-01T10:00:01Z,2,m2,good\n",
    "node in place of the name": "time;point;value\n2025-06-01T10:00:00Z;ns=2;s=CNC01.Good;1.5".replace(
        "ns=2;s=CNC01.Good", '"ns=2;s=CNC01.Good"'
    )
    + "\n2025-06-01T10:00:01Z;m2.good;2\n",
    "quoted, with thousands": 'time,tag,value\n"2025-06-01T10:00:00Z","m1.good","1.5"\n'
    '2025-06-01T10:00:01Z,m2.good,"2"\n',
    "fraction with a comma": "time;tag;value\n2025-06-01 12:00:00,000;m1.good;1,5\n2025-06-01 12:00:01,000;m2.good;2\n",
}


@pytest.mark.parametrize("kind", LONG)
def test_long_files_mean_the_same_however_they_are_written(tmp_path: Path, kind: str) -> None:
    rows, _ = read(tmp_path, csv(tmp_path, LONG[kind]))
    assert rows == NOON


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "gb18030"])
def test_encodings_are_found_out(tmp_path: Path, encoding: str) -> None:
    title = {"cp1252": "Zähler für Halle ü ö ä", "gb18030": "一号车间产量报表"}.get(encoding, "Zähler 一号车间")
    text = f"{title}\n{LONG['spreadsheet in German']}"
    rows, _ = read(tmp_path, csv(tmp_path, text, encoding=encoding))
    assert rows == NOON


def test_compressed_files_are_read_and_cut_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.csv.gz"
    lines = "".join(f"{1748772000 + n},m1.good,{n * 7919 % 1000}\n" for n in range(200_000))
    path.write_bytes(gzip.compress(f"time,tag,value\n{lines}".encode()))
    rows, contents = read(tmp_path, path)
    assert len(rows) == 200_000
    assert contents.files[0].rows == 200_000
    path.write_bytes(path.read_bytes()[:-5000])
    (tmp_path / "again").mkdir()
    with pytest.raises(HistoryError, match="damaged or cut short"):
        read(tmp_path / "again", path)


def test_wide_files_have_a_column_a_tag(tmp_path: Path) -> None:
    text = "Time;m1.good [pieces];m2.good;Temperature\n01.06.2025 12:00:00;1,5;;20\n01.06.2025 12:00:01;;2;21\n"
    rows, contents = read(tmp_path, csv(tmp_path, text))
    assert rows == NOON
    assert contents.files[0].layout == "wide"
    assert contents.tally.unknown == {"Temperature": 2}


def test_wide_files_can_be_mapped(tmp_path: Path) -> None:
    text = "time,A,B,C\n2025-06-01T10:00:00Z,1.5,,x\n2025-06-01T10:00:01Z,,2,\n"
    mapping = {"A": "m1.good", "B": "m2.good", "C": "m1.product"}
    rows, _ = read(tmp_path, csv(tmp_path, text), mapping=mapping)
    assert rows == [NOON[0], ("2025-06-01T10:00:00", "m1.product", 0.0, 0), NOON[1]]
    with pytest.raises(ValueError, match=r"'m1.god', which the plant does not have, did you mean `m1.good`\?"):
        History(settings(mapping={"A": "m1.god"}), TextCodes(), tmp_path)


def test_parquet_has_types_of_its_own(tmp_path: Path) -> None:
    times = [datetime(2025, 6, 1, 10, 0, second, tzinfo=UTC) for second in (0, 1)]
    zoned = pl.DataFrame({"time": times, "tag": ["m1.good", "m2.good"], "value": [1.5, 2.0]})
    for number, table in enumerate(
        (
            zoned,
            zoned.with_columns(pl.col("time").dt.convert_time_zone("Asia/Shanghai")),
            zoned.with_columns(pl.col("time").dt.convert_time_zone("Europe/Berlin").dt.replace_time_zone(None)),
            zoned.with_columns(pl.col("time").dt.epoch("ms")),
            zoned.with_columns(pl.col("tag").cast(pl.Categorical), pl.col("value").cast(pl.String)),
            zoned.with_columns(pl.col("value").cast(pl.Decimal(10, 2)), pl.col("time").dt.cast_time_unit("ms")),
            zoned.select(
                "time", **{"m1.good": pl.Series([1.5, None]), "m2.good": pl.Series([None, 2], dtype=pl.Int16)}
            ),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        table.write_parquet(folder / "history.parquet")
        rows, _ = read(folder, folder / "history.parquet")
        assert rows == NOON, table


def test_the_repeated_hour_is_told_apart_by_order_and_counted(tmp_path: Path) -> None:
    """Every ten minutes from midnight to four, as a spreadsheet shows the day on which the clocks are put back."""
    zone, start = ZoneInfo("Europe/Berlin"), datetime(2025, 10, 25, 22, tzinfo=UTC)
    moments = [start + timedelta(minutes=10 * n) for n in range(30)]
    lines = [f"{moment.astimezone(zone):%d.%m.%Y %H:%M:%S};m1.good;{n}" for n, moment in enumerate(moments)]
    rows, contents = read(tmp_path, csv(tmp_path, "Zeit;Name;Wert\n" + "\n".join(lines)))
    assert [row[0] for row in rows] == [f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in moments]
    assert [row[2] for row in rows] == list(range(30))
    assert contents.repeated == 12


def test_in_the_repeated_hour_tags_that_follow_each_other_have_an_order_each(tmp_path: Path) -> None:
    cells = ["01:50", "02:10", "02:50", "02:10", "02:50", "03:10"]
    lines = [f"26.10.2025 {cell};{tag};1" for tag in ("m1.good", "m2.good") for cell in cells]
    rows, _ = read(tmp_path, csv(tmp_path, "Zeit;Name;Wert\n" + "\n".join(lines)))
    expected = [
        f"2025-10-{cell}:00" for cell in ("25T23:50", "26T00:10", "26T00:50", "26T01:10", "26T01:50", "26T02:10")
    ]
    for tag in ("m1.good", "m2.good"):
        assert [row[0] for row in rows if row[1] == tag] == expected


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["01:50", "02:10", "02:50", "02:00", "02:50", "03:10"], ("02:50", "02:00")),  # the clocks of another zone
        (["00:50", "01:59", "01:30", "01:59", "02:10"], ("01:59", "01:30")),  # by half an hour, on Lord Howe Island
        (["02:10", "02:50", "02:49", "02:59"], None),  # a row that is a little late
        (["02:10", "02:50", "01:50", "02:50"], None),  # not within an hour of the clock
        (["02:10", "02:50", "02:10", "05:00", "01:00", "03:00"], None),  # no order at all
    ],
)
@pytest.mark.parametrize("tags", [["m1.good"], ["m1.good", "m2.good"]])
def test_a_step_back_of_the_clocks_that_the_zone_does_not_have_is_told(
    tmp_path: Path, tags: list[str], cells: list[str], found: tuple[str, str] | None
) -> None:
    """Tag after tag, or all in one order of time."""
    lines = [f"25.10.2026 {cell};{tag};1" for tag in tags for cell in cells]
    _, contents = read(tmp_path, csv(tmp_path, "Zeit;Name;Wert\n" + "\n".join(lines)), time_zone="UTC")
    steps = [(one.file, one.before, one.after) for one in contents.clock_steps]
    at = [ns(f"2026-10-25T{cell}:00+00:00") for cell in found or ()]
    assert steps == ([("history.csv", *at)] if found else [])


def test_the_clocks_of_the_zone_itself_and_times_with_a_zone_are_no_such_step(tmp_path: Path) -> None:
    cells = ["01:50", "02:10", "02:50", "02:10", "02:50", "03:10"]
    lines = [f"25.10.2026 {cell};m1.good;1" for cell in cells]
    assert read(tmp_path, csv(tmp_path, "Zeit;Name;Wert\n" + "\n".join(lines)))[1].clock_steps == []
    (tmp_path / "parts").rmdir()
    lines = [f"2026-10-25T{cell}:00Z;m1.good;1" for cell in cells]
    assert read(tmp_path, csv(tmp_path, "Zeit;Name;Wert\n" + "\n".join(lines)))[1].clock_steps == []


def test_odd_rows_are_counted_by_name_and_the_others_used(tmp_path: Path) -> None:
    text = (
        "time,tag,value,quality\n"
        "2025-06-01T10:00:00Z,m1.good,1.5,Good\n"
        "yesterday,m1.good,1,Good\n"
        "1970-01-01T00:00:00Z,m1.good,1,Good\n"
        "2031-06-01T10:00:00Z,m1.good,1,Good\n"
        "2025-06-01T10:00:00Z,m1.god,1,Good\n"
        "2025-06-01T10:00:02Z,m1.good,No Data,Good\n"
        "2025-06-01T10:00:03Z,m1.good,,Good\n"
        "2025-06-01T10:00:04Z,m1.good,inf,Good\n"
        "2025-06-01T10:00:05Z,m1.good,7,Bad\n"
        "2025-06-01T10:00:06Z,m1.good,8,Uncertain\n"
        ",,,\n"
        "2025-06-01T10:00:01Z,m2.good,2,Good\n"
        "2025-06-01T10:00:0"
    )
    rows, contents = read(tmp_path, csv(tmp_path, text))
    tally = contents.tally
    assert {str(fault): count for fault, count in tally.counts.items()} == {
        "bad_timestamp": 2,
        "future_timestamp": 1,
        "unknown_tag": 1,
        "malformed_row": 1,
        "not_a_number": 1,
        "no_value": 1,
        "not_finite": 1,
        "bad_status": 1,
    }
    assert tally.unknown == {"m1.god": 1}
    assert [(row[0][-2:], row[3]) for row in rows] == [
        ("00", 0), ("01", 0), ("02", 2), ("03", 2), ("04", 2), ("05", 2), ("06", 1),
    ]  # fmt: skip
    assert all(np.isnan(row[2]) == (row[3] == 2) for row in rows)
    assert "No Data" in tally.examples[next(fault for fault in tally.counts if fault == "not_a_number")]


def test_a_line_with_a_broken_quote_costs_itself_alone(tmp_path: Path) -> None:
    text = (
        'time,tag,value\n2025-06-01T10:00:00Z,m1.good,1.5\n2025-06-01T10:00:00Z,"m1.good,9\n'
        "2025-06-01T10:00:01Z,m2.good,2\n"
    )
    rows, contents = read(tmp_path, csv(tmp_path, text))
    assert rows == NOON
    assert sum(contents.tally.counts.values()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("\0\1\2\3" * 100, "not a text file"),
        ("2025-06-01,m1.good,1\n2025-06-02,m1.good,1\n", "no row of column headings"),
        ("a,b,c\n1,2,3\n", "no column is known to be the time (columns: `a`, `b`, `c`)"),
        ("time,tag,amount\n2025-06-01,m1.good,3\n", "no column is known to be the value"),
        ("time,m1.god,b\n2025-06-01,2,3\n", "`m1.god`, did you mean `m1.good`?"),
        ("time,tag,value\n03/04/2025 10:00:00,m1.good,1\n", "whether `03/04/2025` begins with the day or the month"),
        ("time,m1.good,M1.GOOD\n2025-06-01,2,3\n", "two columns are the same tag"),
    ],
)
def test_a_file_that_cannot_be_understood_says_what_to_tell(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(HistoryError) as caught:
        read(tmp_path, csv(tmp_path, text))
    assert said in str(caught.value)
    assert "history.csv" in str(caught.value)


def test_numbers_with_comma_and_thousands(tmp_path: Path) -> None:
    values = ["1,5", "1.234,5", "1.234", "2.5", "-3,25", "1 000,5"]
    lines = [f"{1748772000 + n};m1.good;{value}" for n, value in enumerate(values)]
    rows, _ = read(tmp_path, csv(tmp_path, "time;tag;value\n" + "\n".join(lines)))
    assert [row[2] for row in rows] == [1.5, 1234.5, 1234.0, 2.5, -3.25, 1000.5]
    values = ["1.5", "1,234.5", "12,345.25", "true", "OFF"]
    lines = [f'{1748772000 + n};m1.good;"{value}"' for n, value in enumerate(values)]
    (tmp_path / "point").mkdir()
    rows, _ = read(tmp_path / "point", csv(tmp_path, "time;tag;value\n" + "\n".join(lines)))
    assert [row[2] for row in rows] == [1.5, 1234.5, 12345.25, 1.0, 0.0]


@pytest.mark.parametrize(
    ("words", "qualities"),
    [
        (["192", "64", "0", "216"], [0, 1, 2, 0]),
        (["0", str(0x40000000), str(0x80000000), "0"], [0, 1, 2, 0]),
        (["Good", "Uncertain", "Bad (no communication)", "good, local override"], [0, 1, 2, 0]),
        (["0", "1", "2", "0"], [0, 1, 2, 0]),
    ],
)
def test_qualities_of_opc_and_of_people(tmp_path: Path, words: list[str], qualities: list[int]) -> None:
    lines = [f'{1748772000 + n},m1.good,1,"{word}"' for n, word in enumerate(words)]
    rows, _ = read(tmp_path, csv(tmp_path, "time,tag,value,quality\n" + "\n".join(lines)))
    assert [row[3] for row in rows] == qualities


def test_samples_come_back_in_order_of_time_whatever_order_they_went_in(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    count = 300_000
    time = random.permutation(count).astype(np.int64)
    spool = Spool(tmp_path, most_waiting=40_000)
    for start in range(0, count, 7_000):
        part = time[start : start + 7_000]
        spool.add(SampleBatch((part % 5).astype(np.int32), part, part / 2, np.zeros(len(part), np.uint8)))
    spool.close()
    taken = [spool.until(end) for end in (-5, 10, 50_000, 50_001, 299_999, 1 << 60)]
    assert [len(batch) for batch in taken] == [0, 10, 49_990, 1, 249_998, 1]
    whole = SampleBatch.concat(taken)
    assert whole.time.tolist() == list(range(count))
    assert (whole.tag == whole.time % 5).all()
    assert (whole.value == whole.time / 2).all()
    assert not list(tmp_path.iterdir())


def test_each_fault_says_the_file_the_line_and_the_column(tmp_path: Path) -> None:
    """Titles, blank lines and blocks count; a line is what an editor shows."""
    text = "\n".join(
        [
            "Export of line 1",
            "Zeit;Name;Wert",
            "2025-01-01 00:00:00;m1.good;1",
            "",
            "gestern;m1.good;2",
            "2025-01-01 00:00:10;m1.good;viel",
            "2025-01-01 00:00:20;m9.good;3",
            "2025-01-01 00:00:30;;3",
            "2025-01-01 00:00:40;m1.good;",
            "2125-01-01 00:00:40;m1.good;5",
        ]
    )
    path = csv(tmp_path, text)
    _, contents = read(tmp_path, path)
    assert {str(fault): example for fault, example in contents.tally.examples.items()} == {
        "bad_timestamp": f"{path.name}, line 5, column `Zeit`: gestern",
        "not_a_number": f"{path.name}, line 6, column `Wert`: 'viel'",
        "unknown_tag": f"{path.name}, line 7, column `Name`: m9.good",
        "malformed_row": f"{path.name}, line 8, column `Name`: nothing",
        "no_value": f"{path.name}, line 9, column `Wert`",
        "future_timestamp": f"{path.name}, line 10, column `Zeit`: 2125-01-01 00:00:40",
    }


def test_lines_are_counted_over_blocks_and_columns_of_the_wide_layout_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.replay.text_files.BLOCK_BYTES", 256)
    lines = [f"2025-01-01 00:{n:02d}:00;{n};{n},5" for n in range(50)]
    lines[40] = "2025-01-01 00:40:00;40;viel"
    path = csv(tmp_path, "Zeit;m1.good;m1.energy\n" + "\n".join(lines) + "\n")
    _, contents = read(tmp_path, path)
    assert contents.tally.examples[HistoryFault.NOT_A_NUMBER] == f"{path.name}, line 42, column `m1.energy`: 'viel'"


def test_local_times_on_both_sides_of_a_hole_have_the_offset_of_their_season(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece has its own stretch of time; a time in a far century is one of the future."""
    monkeypatch.setattr("connectors.replay.text_files.BLOCK_BYTES", 64)
    times = [
        "2025-01-15 12:00:00",
        "2025-07-15 12:00:00",
        "2024-07-15 12:00:00",
        "2026-01-15 12:00:00",
        "2125-01-01 00:00:00",
    ]
    text = "\n".join(f"{time};m1.good;{n}" for n, time in enumerate(times) for _ in range(3))
    rows, contents = read(tmp_path, csv(tmp_path, "Zeit;Name;Wert\n" + text))
    assert sorted({row[0] for row in rows}) == [
        "2024-07-15T10:00:00",
        "2025-01-15T11:00:00",
        "2025-07-15T10:00:00",
        "2026-01-15T11:00:00",
    ]
    assert contents.tally.counts[HistoryFault.FUTURE_TIMESTAMP] == 3


def test_a_parquet_file_says_the_row(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    pl.DataFrame({"time": ["2025-01-01T00:00:00Z", "soon"], "tag": ["m1.good"] * 2, "value": [1.0, 2.0]}).write_parquet(
        path
    )
    _, contents = read(tmp_path, path)
    assert contents.tally.examples[HistoryFault.BAD_TIMESTAMP] == "history.parquet, row 2, column `time`: soon"


def test_a_file_that_cannot_be_read_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    """What it is, what to do; how far it was read where it is damaged further down."""
    good = csv(tmp_path, "time,tag,value\n2025-01-01T00:00:00Z,m1.good,1\n")
    empty, cut = tmp_path / "empty.csv", tmp_path / "cut.parquet"
    empty.write_text("")
    pl.DataFrame({"time": [1], "tag": ["m1.good"], "value": [1.0]}).write_parquet(cut)
    cut.write_bytes(cut.read_bytes()[:-20])
    rows, contents = read(tmp_path, empty, good, cut)
    assert len(rows) == 1
    assert [(fault.path.name, fault.hint) for fault in contents.unread] == [
        ("empty.csv", "leave it out"),
        ("cut.parquet", "export it again"),
    ]
    assert "it is empty" in contents.unread[0].reason
