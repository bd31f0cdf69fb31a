"""Whatever stands in the file, the answer is a plant or a `ConfigError`; and what is accepted, a connector can use."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config import ConfigError, load_and_compile
from config.addresses import covers, filter_fault, node_fault, path_fault, topic_fault
from config.document import plain
from config.errors import did_you_mean
from config.quantities import duration_text, ns, size, size_text
from config.substitution import Substituted, SubstitutionError, substitute
from connectors.mqtt.paths import parse_path
from connectors.opcua.node_text import parse_node
from tests.config.examples import EXAMPLES

MIXED = (
    next(path for path in EXAMPLES if path.stem == "mixed-plant").read_text(encoding="utf-8").splitlines(keepends=True)
)


def load_bytes(raw: bytes) -> None:
    """Load and compile; anything but a plant or a ConfigError with a text fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plant.yaml"
        path.write_bytes(raw)
        said = None
        try:
            load_and_compile(path, environment={"INFLUX_TOKEN": "secret-of-the-test"})
        except ConfigError as error:
            said = error
        assert said is None or (said.faults and "secret-of-the-test" not in str(said))


@given(raw=st.binary(max_size=60))
@example(raw=b'"\\U0FFFFFFF"')
@example(raw=b"%YAML 9.9\n--- a")
@example(raw=b"{a: &a {b: *a}}")
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_a_plant_or_a_config_error(raw: bytes) -> None:
    load_bytes(raw)


JUNK: list[Any] = [
    "",
    "~",
    "[]",
    "{}",
    "5",
    "-1",
    "true",
    "x",
    '""',
    "[x]",
    "{x: y}",
    "1 d",
    "${X}",
    "2026-01-01",
    "*a",
    "!t",
]


@given(
    row=st.integers(0, len(MIXED) - 1),
    change=st.sampled_from(["drop", "double", "cut", "value"]),
    junk=st.sampled_from(JUNK),
    at=st.integers(0, 60),
)
@settings(deadline=None, max_examples=60)
def test_a_damaged_line_is_a_plant_or_a_config_error(row: int, change: str, junk: str, at: int) -> None:
    """One line of the mixed plant is lost, doubled, cut off, or has another value behind its key."""
    line = MIXED[row]
    damaged = {
        "drop": "",
        "double": line + line,
        "cut": line[:at] + "\n",
        "value": line.partition(":")[0] + f": {junk}\n",
    }[change]
    load_bytes("".join([*MIXED[:row], damaged, *MIXED[row + 1 :]]).encode())


NODE_TEXTS = st.from_regex(
    r"(ns=[0-9a]{1,6};|nsu=[a-z:/;]{0,6};|)[isgbx]=[A-Za-z0-9=.{}-]{0,8}|/?(/[0-9]?:?[a-z&/]{0,3}){0,3}", fullmatch=True
)


@given(node=NODE_TEXTS)
@example(node="ns=2;g=12345678-1234-1234-1234-123456789abc")
@example(node="ns=2;b=aGVsbG8=")
@example(node="ns=99999;s=x")
@example(node="nsu=http://opcfoundation.org/UA/;i=2258")
@example(node="/2:Machines/nsu=http://opcfoundation.org/UA/Machinery/;MachineryItemState")
def test_a_node_that_passes_here_the_connector_can_parse(node: str) -> None:
    if node_fault(node) is None:
        parse_node(node)


@pytest.mark.parametrize(
    "node",
    [
        "ns=2;s=A",
        "i=2258",
        "ns=0;i=0",
        "nsu=urn:x;s=a;b=c",
        "ns=3;s=Ü {1}",
        "/2:A/3:B:C",
        "/A",
        "/nsu=http://x/y/;B/2:C&/D",
    ],
)
def test_a_node_that_the_connector_parses_passes_here(node: str) -> None:
    parse_node(node)
    assert node_fault(node) is None


@given(path=st.text(alphabet='ab.[]0"x ', max_size=8))
def test_a_path_that_passes_here_the_connector_can_parse(path: str) -> None:
    if path_fault(path) is None:
        assert parse_path(path)


LEVELS = st.lists(st.sampled_from(["a", "b", "", "+", "#", "$SYS"]), min_size=1, max_size=4).map("/".join)


@given(topic_filter=LEVELS, topic=LEVELS)
def test_a_filter_covers_the_topics_that_a_broker_would_send(topic_filter: str, topic: str) -> None:
    """The twin is the matcher of the MQTT client itself."""
    if filter_fault(topic_filter) is None and topic_fault(topic) is None:
        assert covers(topic_filter, topic) == paho.topic_matches_sub(topic_filter, topic)


@given(amount=st.integers(1, 30_000), unit=st.sampled_from(["ms", "s", "min", "h", "d"]))
def test_a_duration_is_written_as_it_can_be_read(amount: int, unit: str) -> None:
    assert ns(duration_text(ns(f"{amount} {unit}"))) == ns(f"{amount} {unit}")


@given(amount=st.integers(1, 10**6), unit=st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB"]))
def test_a_size_is_written_as_it_can_be_read(amount: int, unit: str) -> None:
    assert size(size_text(size(f"{amount} {unit}"))) == size(f"{amount} {unit}")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("500 ms", 500_000_000), ("1.5 s", 1_500_000_000), ("15min", 900_000_000_000), ("7 d", 604_800_000_000_000)],
)
def test_a_duration_is_exact(text: str, nanoseconds: int) -> None:
    assert ns(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False), ("0", 0), ("-7", -7),
        ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("0815", "0815"),
        ("06:00", "06:00"), ("2026-10-01", "2026-10-01"), ("on", "on"),
        ("off", "off"), ("yes", "yes"),
        ("1_000", "1_000"), ("0x1F", "0x1F"), (".", "."), ("-", "-"), ("e5", "e5"),
        ("HSG-100", "HSG-100"), ("99999999999999999999999", 1e23),
    ],
)  # fmt: skip
def test_plain_scalars_are_what_a_person_on_the_floor_means(text: str, value: object) -> None:
    made = plain(text)
    assert made == value
    assert type(made) is type(value)


def test_substitution_marks_what_it_put_in_and_shows_the_expression() -> None:
    made = substitute("a ${B} ${C:-d} $${E}", {"B": "bee"})
    assert isinstance(made, Substituted)
    assert (str(made), made.shown) == ("a bee d ${E}", "a ${B} ${C} ${E}")
    assert made.put_in == {"${B}": "bee"}


@given(text=st.text(alphabet="${}AB:-file/ ", max_size=20))
def test_any_expression_is_substituted_or_refused(text: str) -> None:
    with contextlib.suppress(SubstitutionError):
        assert isinstance(substitute(text, {"A": "1", "AB": "2"}), str)


def test_what_was_put_in_is_not_substituted_again() -> None:
    assert substitute("${A}", {"A": "${B}", "B": "no"}) == "${B}"


def test_a_guess_is_offered_only_where_one_is_near() -> None:
    assert did_you_mean("endpont", ["endpoint", "type"]) == ", did you mean `endpoint`?"
    assert did_you_mean("xyz", ["endpoint", "type"]) == ""
