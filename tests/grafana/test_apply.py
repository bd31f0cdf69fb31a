"""`grafana apply` against a stand-in for Grafana that records what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from grafana.apply import ApplyError, Outcome, apply
from grafana.datasource import InfluxSource
from grafana.plant import plant_board
from tests.grafana.grafana_recorder import TOKEN, Recorder, grafana_recorder
from tests.services.process import free_port

INFLUX = InfluxSource(url="http://influx:8086", database="factory")
SECRET = "the-token-of-influx"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with grafana_recorder() as running:
        yield running


def test_a_fresh_grafana_gets_data_source_folder_and_board(recorder: Recorder) -> None:
    applied = apply(recorder.url, TOKEN, influx=INFLUX)
    assert (applied.datasource, applied.folder, applied.board) == (Outcome.CREATED,) * 3
    assert applied.board_url == f"{recorder.url}/d/edge-agent-plant"
    stored = recorder.datasources["edge-agent"]
    assert stored["type"] == "influxdb"
    assert stored["jsonData"]["dbName"] == "factory"
    board = recorder.boards["edge-agent-plant"]
    assert board["meta"]["folderUid"] == "edge-agent"
    assert board["dashboard"]["panels"] == plant_board()["panels"]


def test_applying_twice_changes_nothing(recorder: Recorder) -> None:
    apply(recorder.url, TOKEN, influx=INFLUX)
    written = recorder.writes()
    applied = apply(recorder.url, TOKEN, influx=INFLUX)
    assert (applied.datasource, applied.folder, applied.board) == (Outcome.UNCHANGED,) * 3
    assert recorder.writes() == written
    assert recorder.boards["edge-agent-plant"]["meta"]["version"] == 1


def test_what_people_changed_is_set_right_again(recorder: Recorder) -> None:
    apply(recorder.url, TOKEN, influx=INFLUX)
    recorder.boards["edge-agent-plant"]["dashboard"]["panels"][1]["title"] = "Mine"
    recorder.datasources["edge-agent"]["url"] = "http://elsewhere:8086"
    applied = apply(recorder.url, TOKEN, influx=INFLUX)
    assert (applied.datasource, applied.folder, applied.board) == (
        Outcome.UPDATED,
        Outcome.UNCHANGED,
        Outcome.UPDATED,
    )
    assert recorder.boards["edge-agent-plant"]["dashboard"]["panels"] == plant_board()["panels"]
    assert recorder.datasources["edge-agent"]["url"] == "http://influx:8086"


def test_credentials_go_where_grafana_encrypts_them(recorder: Recorder) -> None:
    apply(recorder.url, TOKEN, influx=replace(INFLUX, token=SECRET))
    assert recorder.secrets["edge-agent"] == {"httpHeaderValue1": f"Token {SECRET}"}
    assert recorder.datasources["edge-agent"]["jsonData"]["httpHeaderName1"] == "Authorization"
    assert SECRET not in str(recorder.datasources)
    assert apply(recorder.url, TOKEN, influx=replace(INFLUX, token=SECRET)).datasource is Outcome.UNCHANGED


def test_a_user_of_influxdb_1_signs_in_with_a_password(recorder: Recorder) -> None:
    apply(recorder.url, TOKEN, influx=replace(INFLUX, username="grafana", password=SECRET))
    assert recorder.datasources["edge-agent"]["user"] == "grafana"
    assert recorder.secrets["edge-agent"] == {"password": SECRET}


def test_a_source_does_not_show_its_secrets_nor_take_two_kinds_of_them() -> None:
    assert SECRET not in repr(replace(INFLUX, token=SECRET))
    with pytest.raises(ValueError, match="not with both"):
        InfluxSource(url="http://influx:8086", database="factory", token="t", username="u")


def test_a_grafana_below_a_path_is_found() -> None:
    with grafana_recorder(prefix="/grafana") as recorder:
        assert apply(f"{recorder.url}/", TOKEN, influx=INFLUX).board is Outcome.CREATED


def test_an_unreachable_grafana_is_named() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ApplyError) as caught:
        apply(address, TOKEN, influx=INFLUX)
    assert caught.value.reason == f"Grafana at {address} cannot be reached."
    assert "that Grafana runs" in caught.value.hint


def test_something_else_at_the_address_is_named(recorder: Recorder) -> None:
    with grafana_recorder(prefix="/elsewhere") as other:
        root = other.url.removesuffix("/elsewhere")
        with pytest.raises(ApplyError) as caught:
            apply(root, TOKEN, influx=INFLUX)
    assert caught.value.reason == f"What answers at {root} does not speak Grafana's API."


def test_a_wrong_token_is_said_to_be_one_and_not_repeated(recorder: Recorder) -> None:
    with pytest.raises(ApplyError) as caught:
        apply(recorder.url, "glsa_wrong", influx=INFLUX)
    assert "does not accept the token (401)" in caught.value.reason
    assert "glsa_wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("forbidden", "permission"),
    [
        ("GET /api/datasources", "datasources:read"),
        ("POST /api/datasources", "datasources:create"),
        ("POST /api/folders", "folders:create"),
        ("POST /api/dashboards", "dashboards:write"),
    ],
)
def test_a_missing_permission_is_named(recorder: Recorder, forbidden: str, permission: str) -> None:
    recorder.forbidden = (forbidden,)
    with pytest.raises(ApplyError, match="403") as caught:
        apply(recorder.url, TOKEN, influx=INFLUX)
    assert permission in caught.value.hint


def test_another_data_source_of_that_name_is_not_overwritten(recorder: Recorder) -> None:
    recorder.datasources["other"] = {"name": "edge-agent", "uid": "other"}
    with pytest.raises(ApplyError, match="another of that name") as caught:
        apply(recorder.url, TOKEN, influx=INFLUX)
    assert "Rename or remove" in caught.value.hint


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://grafana", "", "http://"])
def test_an_address_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ApplyError, match="not a URL"):
        apply(url, TOKEN, influx=INFLUX)


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ApplyError) as caught:
        apply("http://admin:hunter2@localhost:3000", TOKEN, influx=INFLUX)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "naïve"])
def test_a_token_that_cannot_be_one_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(ApplyError) as caught:
        apply("http://localhost:3000", token, influx=INFLUX)
    assert not token or token not in str(caught.value)
