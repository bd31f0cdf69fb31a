"""The tick: commit, then acknowledge; a sick connector alone; every sample accounted for; a kill changes no row."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors import SampleBatch
from edge_agent.journal import JournalReader, JournalWriteError, OutboxKind, Tick
from edge_agent.metrics import serve
from kpi.elements import MINUTE_NS
from kpi.plant import State
from tests.edge_agent.scripted import NOON, SECOND, Bench, ScriptedConnector, minutes, run, tick
from tests.services.process import free_port


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def stored(bench: Bench, first: int = 0, last: int = 600) -> pl.DataFrame:
    """The minute rows of the journal."""
    with JournalReader(bench.path) as reader:
        return reader.elements("minute", *minutes(first, last))


def total(rows: pl.DataFrame, machine: str, element: str) -> int:
    return int(rows.filter(pl.col("machine") == machine)[element].sum())


def ledger(bench: Bench) -> dict[str, int]:
    with JournalReader(bench.path) as reader:
        return reader.ledger()


def producing(bench: Bench, until: float, *, machine: str = "m1", every: float = 10.0) -> SampleBatch:
    """A machine that makes a good piece of product A every `every` seconds."""
    steps = np.arange(0.0, until, every)
    rows = [(f"{machine}.good", float(at), float(n)) for n, at in enumerate(steps)]
    rows += [("floor.link", float(at), 1.0) for at in np.arange(0.0, until, 10.0)]
    return bench.samples((f"{machine}.state.status", 0.0, 1.0), (f"{machine}.scrap", 0.0, 0.0), *rows)


def test_a_sender_is_told_only_after_its_samples_are_on_disk(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    on_disk: list[int] = []
    floor.on_acknowledge = lambda: on_disk.append(ledger(bench)["received"])

    async def script() -> None:
        floor.put(producing(bench, 60))
        await tick(agent)
        floor.put(bench.link(61), bench.link(62))
        await tick(agent)

    run(agent, script)
    assert floor.acknowledged == [0, 1]
    assert on_disk == [floor.taken[0], sum(floor.taken)]


def test_a_commit_that_fails_is_tried_again_with_the_same_transaction_and_nothing_is_taken_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    tried: list[Tick] = []
    commit = agent.journal.commit

    def full_twice(one: Tick) -> None:
        tried.append(one)
        assert floor.acknowledged == []
        assert len(floor.waiting) == 1, "the connector holds back"
        if len(tried) < 3:
            raise JournalWriteError(bench.path, "the disk is full", "make room on the disk")
        commit(one)

    monkeypatch.setattr(agent.journal, "commit", full_twice)

    async def script() -> None:
        floor.put(producing(bench, 60))
        ticking = asyncio.create_task(tick(agent))
        await asyncio.sleep(0)  # the tick has taken; what comes now has to wait
        floor.put(bench.link(61))
        await ticking

    run(agent, script)
    assert len(tried) == 3
    assert tried[0] is tried[1] is tried[2]
    assert floor.acknowledged == [0]
    assert agent.health.commit_failures == 2


def test_an_agent_whose_disk_stays_full_ends_when_it_is_asked_to_and_commits_nothing_after_the_hole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.pipeline._LAST_COMMIT_SECONDS", 0.0)
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    refused: list[Tick] = []

    def full(one: Tick) -> None:
        refused.append(one)
        raise JournalWriteError(bench.path, "the disk is full", "make room on the disk")

    async def script() -> None:
        stop = asyncio.Event()
        monkeypatch.setattr(agent.journal, "commit", full)
        floor.put(producing(bench, 60))
        running = asyncio.create_task(agent.run(stop))
        async with asyncio.timeout(30):
            while not refused:  # noqa: ASYNC110 - a fact of the journal's, which sets no event
                await asyncio.sleep(0.01)
            stop.set()
            with pytest.raises(JournalWriteError):
                await running

    asyncio.run(script())
    assert all(one is refused[0] for one in refused)
    assert floor.acknowledged == []
    assert floor.stops == 1


@pytest.mark.parametrize("method", ["take", "acknowledge"])
def test_a_connector_that_raises_is_made_anew_and_the_others_do_not_notice(bench: Bench, method: str) -> None:
    floor, sick = ScriptedConnector(), ScriptedConnector("sick")
    agent = bench.agent(floor, sick)
    agent.sources._restart_seconds = 0.2

    async def script() -> None:
        floor.put(producing(bench, 30))
        sick.put(bench.link(1))
        sick.fails = method
        await tick(agent)
        down = {one.name: one for one in agent.sources.health()}["sick"]
        assert down.state == "down"
        assert f"{method} is broken" in down.detail
        sick.fails = None
        async with asyncio.timeout(10):
            await agent.sources.all_well()
        sick.put(bench.link(2))
        floor.put(bench.link(31))
        await tick(agent)

    run(agent, script)
    assert floor.acknowledged == [0, 1]
    assert floor.stops == 1
    assert agent.sources.restarts == {"sick": 1}
    assert sick.made == 2
    assert sick.acknowledged[-1] == len(sick.taken) - 1


def test_values_are_scaled_to_the_unit_of_their_tag(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        floor.put(bench.link(0), bench.samples(("m1.power", 0, 3600.0), ("m1.state.status", 0, 1.0)))
        await tick(agent)

    run(agent, script)
    assert agent.assembly.status() == {}
    held = Bench(bench.path.parent).agent()
    samples = held.journal.recover().samples
    held.close()
    assert samples.value[samples.tag == bench.tags["m1.power"]].tolist() == [3.6]


def test_a_timestamp_in_the_future_is_refused_and_counted_and_the_ledger_adds_up(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        floor.put(producing(bench, 60), bench.samples(("m1.good", 61.0, 50.0)))
        await tick(agent)
        bench.clock.advance(70)
        await tick(agent)

    run(agent, script)
    booked = ledger(bench)
    assert booked["refused:future_timestamp"] == 1
    assert booked["received"] == booked["kept"] + booked["refused:future_timestamp"]
    assert total(stored(bench), "m1", "gq") == 5_000_000, "the piece of the future is not counted"


def test_duplicates_and_samples_beyond_the_horizon_end_in_the_ledger_once(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        hour = producing(bench, 3600)
        for _ in range(12):
            floor.put(hour.where((hour.time >= bench.clock()) & (hour.time < bench.clock() + 300 * SECOND)))
            bench.clock.advance(300)
            await tick(agent)
        floor.put(bench.samples(("m1.good", 3590, 359.0), ("m1.good", 5, 7.0)))
        await tick(agent)
        bench.clock.advance(60)
        await tick(agent)

    run(agent, script)
    booked = ledger(bench)
    refused = sum(n for cause, n in booked.items() if cause.startswith(("refused:", "thinned:")))
    assert booked["received"] == booked["kept"] + refused
    assert booked["thinned:duplicate"] == 1
    assert booked["refused:beyond_horizon"] == 1


def test_the_open_minute_is_in_the_journal_up_to_the_watermark(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        bench.clock.advance(95)
        floor.put(producing(bench, 95))
        await tick(agent)

    run(agent, script)
    rows = stored(bench).filter(pl.col("machine") == "m1")
    assert rows["time"].to_list() == [NOON, NOON + MINUTE_NS]
    assert rows["apt"].to_list() == [60 * SECOND, 30 * SECOND]


def test_a_late_change_of_state_leaves_no_older_opinion_in_the_journal(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        bench.clock.advance(120)
        floor.put(producing(bench, 120), bench.samples(("m1.state.status", 70, 2.0)))
        await tick(agent)
        floor.put(bench.samples(("m1.state.status", 65, 2.0)))
        bench.clock.advance(60)
        await tick(agent)

    run(agent, script)
    with JournalReader(bench.path) as reader:
        found = reader.intervals(*minutes(1, 2), ["m1"]).filter(pl.col("start") >= NOON + MINUTE_NS)
    at = ((found["start"] - NOON) // SECOND).to_list()
    assert list(zip(at, found["state"].to_list(), strict=True)) == [
        (60, State.PRODUCING),
        (65, State.BREAKDOWN),
        (70, State.BREAKDOWN),
    ], "the old start says what is now known to hold there"
    assert int((found["end"] - found["start"]).sum()) == MINUTE_NS


def test_a_late_product_takes_its_pieces_to_another_row_and_leaves_zeros_in_the_database(tmp_path: Path) -> None:
    """The journal has the rows that the samples give; the database, which keeps every series, zeros beside them."""
    bench = Bench(tmp_path, influx="http://127.0.0.1:1")
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    product_a, product_b = agent.texts.code("A"), agent.texts.code("B")

    async def script() -> None:
        bench.clock.advance(130)
        floor.put(producing(bench, 130), bench.samples(("m1.product", 0, product_a)))
        await tick(agent)
        floor.put(bench.samples(("m1.product", 60, product_b)))
        await tick(agent)
        bench.clock.advance(60)
        await tick(agent)

    run(agent, script)
    minute = stored(bench, 1, 2).filter(pl.col("machine") == "m1")
    assert minute.select("product", "gq", "calendar_time").rows() == [("B", 6_000_000, MINUTE_NS)]
    assert minute.select("revision", "cause").rows() == [(1, "late_data")]
    points = [point for point in queued(bench, "element") if f" {NOON + MINUTE_NS}" in point and "machine=m1" in point]
    assert ["gq=6.0" in point for point in points if "product=A" in point] == [True, False]
    assert "gq=0.0" in points[-1] or "gq=0.0" in points[-2]
    assert all("revision=1i" in point for point in points[-2:])


def queued(bench: Bench, measurement: str) -> list[str]:
    """Lines of a measurement that wait in the outbox, oldest first."""
    with sqlite3.connect(bench.path) as database:
        bodies = database.execute("SELECT body FROM outbox ORDER BY id").fetchall()
    lines = [line for (body,) in bodies for line in gzip.decompress(body).decode().splitlines()]
    return [line for line in lines if line.startswith(f"{measurement},")]


def test_a_kill_and_a_restart_at_any_tick_change_no_row(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same samples through an agent that is killed between ticks, and through one that is not."""
    samples = producing_shift(Bench(tmp_path_factory.mktemp("plant")))
    undisturbed = rows_after(Bench(tmp_path_factory.mktemp("plant")), samples, set())

    @settings(max_examples=6, deadline=None)
    @given(kills=st.sets(st.integers(0, _TICKS - 1), max_size=4))
    @example(kills={0, _TICKS - 1})
    def restarted(kills: set[int]) -> None:
        assert rows_after(Bench(tmp_path_factory.mktemp("plant")), samples, kills).equals(undisturbed)

    restarted()


_TICKS = 25


def producing_shift(bench: Bench) -> SampleBatch:
    """Ten minutes of two machines with changes of state, counts and power, in order of time."""
    random = np.random.default_rng(5)
    rows = [("floor.link", float(at), 1.0) for at in range(0, 600, 5)]
    for machine in ("m1", "m2"):
        at, good = 0.0, 0
        while at < 600:
            rows.append((f"{machine}.state.status", at, float(random.integers(1, 4))))
            rows.append((f"{machine}.good", at + 0.5, float(good)))
            rows.append((f"{machine}.power", at + 0.7, float(random.integers(100, 9000))))
            good += int(random.integers(0, 4))
            at += float(random.integers(1, 20))
    return bench.samples(*sorted(rows, key=lambda row: row[1]))


def rows_after(bench: Bench, samples: SampleBatch, kills: set[int]) -> pl.DataFrame:
    """The journal's rows after ten minutes in `_TICKS` ticks, the agent being killed after some of them."""
    step = 600 * SECOND // _TICKS
    rarely = 1 << 62  # nothing is said of open minutes, which keeps the test short
    floor = ScriptedConnector()
    agent = bench.agent(floor, refresh_ns=rarely)
    for n in range(_TICKS):
        bench.clock.now = NOON + (n + 1) * step
        floor.put(samples.where((samples.time >= NOON + n * step) & (samples.time < bench.clock.now)))
        asyncio.run(tick(agent))
        if n in kills:
            agent.close()
            floor = ScriptedConnector()
            agent = bench.agent(floor, refresh_ns=rarely)
    asyncio.run(agent.pipeline.tick(settle_to=NOON + 600 * SECOND))
    agent.close()
    return stored(bench).sort("machine", "time", "shift_start", "product")


def test_the_end_commits_what_is_there_and_stops_the_sources(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        async with asyncio.timeout(30):
            await floor.started.wait()
        bench.clock.advance(65)
        floor.put(producing(bench, 65))
        stop.set()
        await running

    asyncio.run(script())
    assert floor.acknowledged == [0]
    assert floor.stops == 1
    assert total(stored(bench), "m1", "apt") == 60 * SECOND
    with JournalReader(bench.path) as reader:
        assert reader.status()["connections"][0]["state"] == "stopped"


def test_a_source_in_a_hurry_is_taken_from_before_the_next_regular_tick(bench: Bench) -> None:
    bench.edit("tick: 20 ms", "tick: 1 h")
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    taken = asyncio.Event()
    floor.on_acknowledge = taken.set

    async def script() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(agent.run(stop))
        async with asyncio.timeout(30):
            await floor.started.wait()
            floor.put(producing(bench, 30))
            agent.pipeline.hurry()
            await taken.wait()
            stop.set()
            await running

    asyncio.run(script())
    assert floor.acknowledged == [0]


def test_with_a_database_every_measurement_is_queued(tmp_path: Path) -> None:
    bench = Bench(tmp_path, influx="http://127.0.0.1:1")
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        bench.clock.advance(130)
        floor.put(producing(bench, 130))
        await tick(agent)

    run(agent, script)
    with JournalReader(bench.path) as reader:
        queued = {kind for kind, depth in reader.outbox_depth().items() if depth.points}
        assert queued == set(OutboxKind)
        booked = reader.ledger()
    raw = booked["received"] - 13  # link signs are not sent
    assert booked["samples:queued"] + booked.get("raw:same_time", 0) == raw


def test_without_a_database_nothing_is_encoded(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        bench.clock.advance(130)
        floor.put(producing(bench, 130))
        await tick(agent)

    run(agent, script)
    with JournalReader(bench.path) as reader:
        assert sum(depth.points for depth in reader.outbox_depth().values()) == 0


def test_status_says_what_each_machine_does_and_how_the_agent_is(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)

    async def script() -> None:
        bench.clock.advance(130)
        floor.put(producing(bench, 130), bench.samples(("m1.power", 100, 2500.0)))
        await tick(agent)
        agent.pipeline._status_at = 0
        await tick(agent)

    run(agent, script)
    with JournalReader(bench.path) as reader:
        said = reader.status()
    assert said["machines"]["m1"] == {"state": "producing", "since": NOON, "product": "", "power_kw": 2.5}
    assert said["machines"]["m2"]["state"] == "unknown"
    assert [one["name"] for one in said["connections"]] == ["floor"]
    assert json.dumps(said["plant"])


def test_how_far_figures_are_settled_is_committed_with_them(bench: Bench) -> None:
    """Not with the status, which is said once a second: a kill between the two left rows that nobody had settled."""
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    said: list[tuple[int, int]] = []

    async def script() -> None:
        for _ in range(3):
            bench.clock.advance(70)
            floor.put(producing(bench, bench.clock.now // SECOND - NOON // SECOND))
            await tick(agent)
            with JournalReader(bench.path) as reader:
                said.append((reader.settled_to(), bench.clock.now - 5 * SECOND))

    run(agent, script)
    assert [settled for settled, _ in said] == [watermark for _, watermark in said]
    with closing(sqlite3.connect(bench.path)) as database:
        database.execute("DELETE FROM setting WHERE name = 'settled_to'")
        database.commit()
    with JournalReader(bench.path) as reader:  # as an earlier version left it
        assert reader.settled_to() == said[-1][1] // MINUTE_NS * MINUTE_NS


def test_metrics_show_what_the_agent_last_said_of_itself(bench: Bench) -> None:
    floor = ScriptedConnector()
    agent = bench.agent(floor)
    port = free_port()
    server = serve("127.0.0.1", port, lambda: agent.pipeline.shown)

    async def script() -> None:
        floor.put(producing(bench, 60))
        await tick(agent)
        agent.pipeline._status_at = 0
        await tick(agent)

    try:
        run(agent, script)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
    finally:
        server.shutdown()
        server.server_close()
    assert f"edge_agent_samples_total {float(sum(floor.taken))}" in lines
    assert 'edge_agent_connection_up{connection="floor"} 1.0' in lines
    assert 'edge_agent_items_delivering{connection="floor"} 1.0' in lines
