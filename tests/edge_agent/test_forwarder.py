"""The forwarder: what was committed reaches the database point for point, whatever the database does meanwhile."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.compiled import InfluxSettings, TagInfo, TagTable
from connectors import SampleBatch, TextCodes
from edge_agent.forwarder import Backoff, Forwarder, ForwarderState
from edge_agent.influx_write import MOST_RETRY_AFTER_SECONDS, InfluxWrite, Outcome
from edge_agent.journal import Journal, JournalReader, OutboxEntry, OutboxKind, Tick
from edge_agent.ledger import Unit, difference
from edge_agent.line_protocol import SignalEncoder
from edge_agent.refused_lines import MOST_REQUESTS, compressed
from tests.services.influxdb import DATABASE, InfluxDb, influxdb
from tests.services.nginx import Nginx, nginx
from tests.services.process import free_port, wait_until
from tests.services.victoria_metrics import victoria_metrics

TOKEN = "top-secret-token"
QUICK = Backoff(first_seconds=0.01, most_seconds=0.05)
T0 = 1_790_000_000_000_000_000
MACHINES = [f"press {i}" for i in range(20)]
TAGS = TagTable(tuple(TagInfo(m, "power", "line, 1", "area=1", "c", "s") for m in MACHINES))
ENCODER = SignalEncoder(TAGS, site="demo")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "plant.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """An open journal."""
    with closing(Journal(path, most_bytes=10**9, tags=[tag.name for tag in TAGS.tags])) as opened:
        yield opened


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[InfluxDb]:
    """An empty InfluxDB 1.6.7."""
    with influxdb(tmp_path / "influxdb") as server:
        yield server


@pytest.fixture
def proxy(tmp_path: Path, influx: InfluxDb) -> Iterator[Nginx]:
    """Its v2 write API."""
    with nginx(tmp_path / "nginx", upstream=influx.port) as server:
        yield server


@contextmanager
def forwarding(path: Path, url: str, **options: Any) -> Iterator[Forwarder]:
    """A started forwarder, stopped on leaving."""
    settings = InfluxSettings(url, f"{DATABASE}/autogen", "demo", TOKEN, timeout_ns=5_000_000_000)
    forwarder = Forwarder(path, settings, backoff=QUICK, **options)
    forwarder.start()
    try:
        yield forwarder
    finally:
        forwarder.stop(timeout=5)


def samples(n: int, *, start: int = 0) -> SampleBatch:
    """n samples of all machines, a millisecond apart."""
    number = np.arange(start, start + n)
    values = np.random.default_rng(start).normal(0, 1e3, n)
    return SampleBatch(
        (number % len(MACHINES)).astype(np.int32), T0 + number * 1_000_000, values, np.zeros(n, np.uint8)
    )


def raw(batch: SampleBatch, *, most_lines: int = 1000) -> list[OutboxEntry]:
    """The batch as outbox entries."""
    return ENCODER.encode(batch, TextCodes()).entries(OutboxKind.RAW, most_lines=most_lines)


def of_lines(*lines: str, kind: OutboxKind = OutboxKind.KPI) -> OutboxEntry:
    """An entry of lines given by hand."""
    return OutboxEntry(kind, len(lines), 0, compressed([line.encode() for line in lines]))


def drained(path: Path) -> bool:
    """Whether nothing waits."""
    with JournalReader(path) as reader:
        return reader.ledger()["points:waiting"] == 0


def as_rows(batch: SampleBatch) -> list[tuple[str, int, float]]:
    """Machine, time and value of every sample, in order of time."""
    return sorted(
        zip([MACHINES[tag] for tag in batch.tag], batch.time.tolist(), batch.value.tolist(), strict=True),
        key=lambda row: row[1],
    )


def held(server: InfluxDb) -> list[tuple[str, int, float]]:
    """Machine, time and value of every point of `signal`."""
    points = server.points("signal")
    assert all((point["line"], point["area"], point["site"]) == ("line, 1", "area=1", "demo") for point in points)
    return sorted(((p["machine"], p["time"], p["value"]) for p in points), key=lambda row: row[1])


def test_influxdb_holds_what_was_committed_point_for_point(
    path: Path, journal: Journal, influx: InfluxDb, proxy: Nginx
) -> None:
    batches = [samples(5000, start=5000 * i) for i in range(4)]
    with forwarding(path, proxy.url) as forwarder:
        for batch in batches:
            journal.commit(Tick(outbox=raw(batch)))
            forwarder.wake()
        wait_until(lambda: drained(path), "the outbox is drained")
    assert held(influx) == as_rows(SampleBatch.concat(batches))
    statistics = forwarder.statistics()
    assert (statistics.delivered_points, statistics.delivered_entries, statistics.rejected_points) == (20_000, 20, 0)
    assert statistics.state is ForwarderState.STOPPED
    assert statistics.failing_since is None
    assert {line.split()[:2][1] for line in proxy.access_log.read_text().splitlines()} == {"gzip"}


def test_victoriametrics_holds_what_was_committed_point_for_point(path: Path, journal: Journal, tmp_path: Path) -> None:
    batch = samples(10_000)
    with victoria_metrics(tmp_path / "victoria") as server:
        journal.commit(Tick(outbox=raw(batch)))
        with forwarding(path, server.url):
            wait_until(lambda: drained(path), "the outbox is drained")
        found = [
            (series["metric"]["machine"], milliseconds * 1_000_000, value)
            for series in server.export('{__name__="signal_value"}')
            for milliseconds, value in zip(series["timestamps"], series["values"], strict=True)
        ]
    found.sort(key=lambda row: row[1])
    assert [row[:2] for row in found] == [row[:2] for row in as_rows(batch)]
    # VictoriaMetrics stores decimals of a common exponent: a value may differ in its last digits.
    assert [row[2] for row in found] == pytest.approx([row[2] for row in as_rows(batch)], rel=1e-9, abs=1e-9)


def test_an_outage_loses_nothing_and_is_a_fact_in_the_statistics(
    path: Path, journal: Journal, influx: InfluxDb, proxy: Nginx
) -> None:
    batches = [samples(500, start=500 * i) for i in range(8)]
    with forwarding(path, proxy.url, clock=lambda: 42) as forwarder:
        journal.commit(Tick(outbox=raw(batches[0])))
        forwarder.wake()
        wait_until(lambda: drained(path), "the first batch is delivered")
        influx.process.stop(kill=True)
        for batch in batches[1:4]:
            journal.commit(Tick(outbox=raw(batch)))
            forwarder.wake()
        wait_until(lambda: forwarder.statistics().failures > 2, "the forwarder fails")
        failing = forwarder.statistics()
        assert (failing.state, failing.failing_since, failing.operator) == (ForwarderState.FAILING, 42, False)
        assert failing.last_error.startswith("502 502 Bad Gateway")
        assert failing.delivered_points == 500
        influx.process.start()
        for batch in batches[4:]:
            journal.commit(Tick(outbox=raw(batch)))
            forwarder.wake()
        wait_until(lambda: drained(path), "the outbox is drained after the outage")
        assert forwarder.statistics().failing_since is None
    assert held(influx) == as_rows(SampleBatch.concat(batches))


def test_a_server_that_cannot_be_reached_is_a_fact_and_the_entries_stay(path: Path, journal: Journal) -> None:
    journal.commit(Tick(outbox=raw(samples(10))))
    with forwarding(path, f"http://127.0.0.1:{free_port()}") as forwarder:
        wait_until(lambda: forwarder.statistics().failures > 1, "the forwarder fails")
    assert not drained(path)
    assert "refused" in forwarder.statistics().last_error


def test_points_that_are_refused_go_to_the_dead_letters_and_block_nothing(
    path: Path, journal: Journal, influx: InfluxDb, proxy: Nginx
) -> None:
    journal.commit(Tick(outbox=[of_lines("kpi,machine=a oee=0.5 1")]))
    series = [f"kpi,machine=m{i % 7} oee={i}.5 {i + 1}" for i in range(70)]
    mistyped = [f'kpi,bad=yes oee="high" {i + 1}' for i in range(70)]
    mixed = [line for pair in zip(series, mistyped, strict=True) for line in pair]
    journal.commit(Tick(outbox=[of_lines(*mixed)]))
    journal.commit(Tick(outbox=[of_lines("kpi,machine=b oee=0.25 1")]))
    with forwarding(path, proxy.url) as forwarder:
        wait_until(lambda: drained(path), "the outbox is drained")
    with JournalReader(path) as reader:
        letters = reader.dead_letters()
        ledger = reader.ledger()
    refused = [line for letter in letters for line in gzip.decompress(letter.body).decode().splitlines()]
    assert sorted(refused) == sorted(mistyped)
    assert {letter.status for letter in letters} == {400}
    assert all("field type conflict" in letter.words for letter in letters)
    assert sum(letter.points for letter in letters) == ledger["points:rejected"] == len(refused)
    assert difference(ledger, Unit.POINTS) == 0
    assert forwarder.statistics().rejected_points == len(refused)
    assert forwarder.statistics().requests < 30, "lines of a series are found together"
    assert len(influx.points("kpi")) == len(series) + 2


def test_a_line_that_cannot_be_parsed_is_found_among_good_ones(
    path: Path, journal: Journal, influx: InfluxDb, proxy: Nginx
) -> None:
    lines = [f"kpi,machine=m{i} oee=0.5 1" for i in range(50)]
    lines[17] = "kpi,machine=m17 oee=high 1"
    journal.commit(Tick(outbox=[of_lines(*lines)]))
    with forwarding(path, proxy.url):
        wait_until(lambda: drained(path), "the outbox is drained")
    with JournalReader(path) as reader:
        (letter,) = reader.dead_letters()
    assert gzip.decompress(letter.body).decode() == "kpi,machine=m17 oee=high 1\n"
    assert "unable to parse" in letter.words
    assert len(influx.points("kpi")) == 49


def test_a_body_that_is_too_large_is_delivered_in_parts(
    path: Path, journal: Journal, influx: InfluxDb, tmp_path: Path
) -> None:
    batch = samples(2000)
    entries = raw(batch, most_lines=2000)
    most = len(entries[0].body) // 3
    with nginx(tmp_path / "narrow", upstream=influx.port, most_body_bytes=most) as narrow:
        journal.commit(Tick(outbox=entries))
        with forwarding(path, narrow.url) as forwarder:
            wait_until(lambda: drained(path), "the outbox is drained")
    assert held(influx) == as_rows(batch)
    assert forwarder.statistics().rejected_points == 0


def test_stopping_delivers_what_is_left_and_later_what_came_since(
    path: Path, journal: Journal, influx: InfluxDb, proxy: Nginx
) -> None:
    for start in (0, 3000):
        journal.commit(Tick(outbox=raw(samples(3000, start=start), most_lines=100)))
        with forwarding(path, proxy.url):
            pass
        assert drained(path)
    assert len(held(influx)) == 6000


# --- answers that real servers give only on a bad day ---------------------------------------------------------------


class Scripted:
    """An HTTP server that answers with what a test says: (status, headers, body) each, then 204."""

    def __init__(self, answers: Sequence[tuple[int, dict[str, str], str]]) -> None:
        self.bodies: list[str] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        script = iter(answers)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.bodies.append(gzip.decompress(body).decode())
                server.requests.append((self.path, dict(self.headers)))
                status, headers, words = next(script, (204, {}, ""))
                answer = words.encode("utf-8", "surrogateescape")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "operator", "retry_after"),
    [
        (401, JSON, '{"code":"unauthorized","message":"unauthorized access"}', True, None),
        (403, JSON, '{"code":"forbidden","message":"insufficient permissions"}', True, None),
        (404, JSON, '{"code":"not found","message":"bucket \\"factory\\" not found"}', True, None),
        (301, {"Location": "https://elsewhere.example/"}, "", True, None),
        (400, {"Content-Type": "text/html"}, "The plain HTTP request was sent to HTTPS port", True, None),
        (408, {}, "", False, None),
        (429, {"Retry-After": "7"}, "", False, 7.0),
        (429, {"Retry-After": "86400"}, "", False, MOST_RETRY_AFTER_SECONDS),
        (429, {"Retry-After": "soon"}, "", False, None),
        (500, JSON, '{"error":"timeout"}', False, None),
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, "", False, 0.0),
    ],
)
def test_what_the_points_are_not_to_blame_for_is_to_be_tried_again(
    status: int, headers: dict[str, str], body: str, operator: bool, retry_after: float | None
) -> None:
    with Scripted([(status, headers, body)]) as server, closing(InfluxWrite(InfluxSettings(server.url, "b"))) as write:
        answer = write.send(compressed([b"kpi x=1 1"]))
    assert (answer.outcome, answer.status) == (Outcome.RETRY, status)
    assert (answer.operator, answer.retry_after) == (operator, retry_after)
    assert body in answer.words


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_points_are_to_blame_for_is_refused_in_the_servers_words(status: int) -> None:
    with (
        Scripted([(status, JSON, '{"error":"no\n  such field"}')]) as server,
        closing(InfluxWrite(InfluxSettings(server.url, "b"))) as write,
    ):
        answer = write.send(compressed([b"kpi x=1 1"]))
    assert (answer.outcome, answer.words) == (Outcome.REJECTED, '{"error":"no such field"}')


@pytest.mark.parametrize(
    ("status", "body"), [(200, "<html>Welcome to the guest network</html>"), (200, ""), (202, "{}")]
)
def test_a_success_that_no_database_would_report_costs_no_point(
    path: Path, journal: Journal, status: int, body: str
) -> None:
    journal.commit(Tick(outbox=[of_lines("kpi x=1 1")]))
    with Scripted([(status, {"Content-Type": "text/html"}, body)]) as server, forwarding(path, server.url) as forwarder:
        wait_until(lambda: drained(path), "the outbox is drained")
        statistics = forwarder.statistics()
    assert server.bodies == ["kpi x=1 1\n"] * 2
    assert statistics.last_error.startswith(f"{status} not the answer of a database")


def test_an_answer_that_is_no_text_is_tried_again() -> None:
    with (
        Scripted([(500, {}, "\udcff")]) as server,
        closing(InfluxWrite(InfluxSettings(server.url, "b"))) as write,
    ):
        assert write.send(compressed([b"kpi x=1 1"])).outcome is Outcome.RETRY


def test_a_failing_head_of_the_queue_is_tried_again_before_anything_behind_it(path: Path, journal: Journal) -> None:
    journal.commit(Tick(outbox=[of_lines("kpi x=1 1"), of_lines("kpi x=2 2")]))
    with Scripted([(401, JSON, "no"), (500, JSON, "no")]) as server, forwarding(path, server.url) as forwarder:
        wait_until(lambda: drained(path), "the outbox is drained")
    assert server.bodies == ["kpi x=1 1\n"] * 3 + ["kpi x=2 2\n"]
    assert (forwarder.statistics().failures, forwarder.statistics().rejected_points) == (2, 0)
    with JournalReader(path) as reader:
        assert reader.dead_letters() == []


def test_a_request_says_where_to_and_who_asks(path: Path, journal: Journal) -> None:
    journal.commit(Tick(outbox=[of_lines("kpi x=1 1")]))
    with Scripted([]) as server, forwarding(path, server.url):
        wait_until(lambda: drained(path), "the outbox is drained")
    ((target, headers),) = server.requests
    assert target == f"/api/v2/write?org=demo&bucket={DATABASE}%2Fautogen&precision=ns"
    assert headers["Authorization"] == f"Token {TOKEN}"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"].startswith("text/plain")


def test_the_token_is_in_no_error_log_or_dead_letter(
    path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="edge_agent")
    journal.commit(Tick(outbox=[of_lines("kpi x=1 1"), of_lines("kpi x=2 2")]))
    echoes = [(401, JSON, f"no such token: {TOKEN}"), (422, JSON, f"not with {TOKEN}")]
    with Scripted(echoes) as server, forwarding(path, server.url.replace("//", "//user:hidden@")) as forwarder:
        wait_until(lambda: drained(path), "the outbox is drained")
    with JournalReader(path) as reader:
        (letter,) = reader.dead_letters()
    assert letter.words == "not with ***"
    assert forwarder.statistics().last_error == "401 no such token: ***"
    said = caplog.text + repr([record.__dict__ for record in caplog.records]) + repr(forwarder.statistics())
    assert "influx_fails" in said
    assert TOKEN not in said
    assert "hidden" not in said


def test_a_server_that_asks_for_patience_is_given_it(path: Path, journal: Journal) -> None:
    journal.commit(Tick(outbox=[of_lines("kpi x=1 1")]))
    with Scripted([(429, {"Retry-After": "3600"}, "")]) as server, forwarding(path, server.url) as forwarder:
        wait_until(lambda: forwarder.statistics().failures == 1, "the server is asked once")
        forwarder.wake()
    assert forwarder.statistics().requests == 2, "once more when asked to stop, and not before"


def test_a_database_that_refuses_everything_is_not_asked_without_end(path: Path, journal: Journal) -> None:
    lines = [f"kpi,machine=m{i} x=1 1" for i in range(3000)]
    journal.commit(Tick(outbox=[of_lines(*lines), of_lines("kpi x=2 2")]))
    refusals = [(422, JSON, f"no {i}") for i in range(MOST_REQUESTS + 1)]
    with Scripted(refusals) as server, forwarding(path, server.url):
        wait_until(lambda: drained(path), "the outbox is drained")
    with JournalReader(path) as reader:
        ledger = reader.ledger()
    assert ledger["points:rejected"] + ledger["points:delivered"] == 3001
    assert difference(ledger, Unit.POINTS) == 0
    assert server.bodies[-1] == "kpi x=2 2\n"


def test_an_outage_while_lines_are_narrowed_down_decides_nothing(path: Path, journal: Journal) -> None:
    journal.commit(Tick(outbox=[of_lines("kpi,a=1 x=1 1", "kpi,a=2 x=2 2")]))
    script = [(400, JSON, "bad"), (400, JSON, "bad"), (503, {}, ""), (204, {}, "")]
    with Scripted(script) as server, forwarding(path, server.url) as forwarder:
        wait_until(lambda: drained(path), "the outbox is drained")
    assert server.bodies[-1] == "kpi,a=1 x=1 1\nkpi,a=2 x=2 2\n"
    assert (forwarder.statistics().delivered_points, forwarder.statistics().rejected_points) == (2, 0)


def test_waits_grow_up_to_a_bound_and_differ() -> None:
    backoff = Backoff(first_seconds=1.0, most_seconds=8.0)
    for failures, whole in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (5000, 8.0)):
        waits = {backoff.seconds(failures) for _ in range(20)}
        assert len(waits) > 1
        assert all(whole / 2 <= wait <= whole for wait in waits)


def test_outcomes_are_ordered_by_badness() -> None:
    assert max(Outcome.DELIVERED, Outcome.REJECTED, Outcome.RETRY) is Outcome.REJECTED
