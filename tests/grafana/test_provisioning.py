"""Files for Grafana's file provisioning, read back as Grafana reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from grafana.plant import plant_board
from grafana.provisioning import write_files


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_the_files_make_a_data_source_a_folder_and_the_board(tmp_path: Path) -> None:
    written = write_files(tmp_path, "http://influx:8086", "factory")
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "datasources/edge-agent.yaml",
        "dashboards/edge-agent.yaml",
        "boards/plant.json",
    ]
    (source,) = read(tmp_path / "datasources/edge-agent.yaml")["datasources"]
    assert source["uid"] == "edge-agent"
    assert source["url"] == "http://influx:8086"
    assert source["jsonData"]["dbName"] == "factory"
    assert "secureJsonData" not in source
    (provider,) = read(tmp_path / "dashboards/edge-agent.yaml")["providers"]
    assert Path(provider["options"]["path"]) == tmp_path / "boards"
    assert provider["folderUid"] == "edge-agent"
    assert json.loads((tmp_path / "boards/plant.json").read_text()) == plant_board()


def test_the_board_chooses_the_provisioned_data_source(tmp_path: Path) -> None:
    write_files(tmp_path, "http://influx:8086", "factory")
    (source,) = read(tmp_path / "datasources/edge-agent.yaml")["datasources"]
    board = json.loads((tmp_path / "boards/plant.json").read_text())
    (variable,) = [v for v in board["templating"]["list"] if v["type"] == "datasource"]
    assert variable["current"]["value"] == source["uid"]
    assert variable["query"] == source["type"]


def test_a_token_is_named_and_never_written(tmp_path: Path) -> None:
    write_files(tmp_path, "http://influx:8086", "factory", token_variable="INFLUX_TOKEN")
    (source,) = read(tmp_path / "datasources/edge-agent.yaml")["datasources"]
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert source["secureJsonData"] == {"httpHeaderValue1": "Token ${INFLUX_TOKEN}"}


def test_a_user_is_written_and_the_password_named(tmp_path: Path) -> None:
    write_files(tmp_path, "http://influx:8086", "factory", username="grafana", password_variable="READER")
    (source,) = read(tmp_path / "datasources/edge-agent.yaml")["datasources"]
    assert source["user"] == "grafana"
    assert source["secureJsonData"] == {"password": "${READER}"}


def test_a_secret_in_place_of_a_variable_name_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name of an environment variable") as caught:
        write_files(tmp_path, "http://influx:8086", "factory", token_variable="my-secret==")
    assert "my-secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_dollar_in_a_name_is_not_taken_for_a_variable(tmp_path: Path) -> None:
    write_files(tmp_path, "http://influx:8086", "cost$center", boards_path="/boards")
    (source,) = read(tmp_path / "datasources/edge-agent.yaml")["datasources"]
    assert source["database"] == "cost$$center"


def test_writing_twice_gives_the_same_files(tmp_path: Path) -> None:
    before = [path.read_text() for path in write_files(tmp_path, "http://influx:8086", "factory")]
    assert [path.read_text() for path in write_files(tmp_path, "http://influx:8086", "factory")] == before
