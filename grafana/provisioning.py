"""Files for Grafana's own provisioning: data source, provider and boards, for a Grafana that is set up by files.

Rule: no secret in a file. A token or password is named as an environment variable of the Grafana server, which
fills it in when it reads the file.

    DIR/datasources/edge-agent.yaml    belongs below Grafana's provisioning folder
    DIR/dashboards/edge-agent.yaml     likewise; says where the boards lie
    DIR/boards/plant.json
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from grafana.datasource import NAME, InfluxSource, public_form, secret_form
from grafana.plant import plant_board

FOLDER_UID: Final = "edge-agent"
FOLDER_TITLE: Final = "edge-agent"
BOARDS: Final = "boards"

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HEADER = "# Written by `edge-agent grafana export`; read by Grafana at its start. Secrets come from its environment.\n"


def write_files(
    folder: Path,
    influx_url: str,
    database: str,
    *,
    token_variable: str = "",
    username: str = "",
    password_variable: str = "",
    verify_tls: bool = True,
    boards_path: str | None = None,
) -> list[Path]:
    """Write data source, provider and boards below `folder`, over what is there; the paths that were written.

    influx_url, database, username, verify_tls: as of `InfluxSource`.
    token_variable, password_variable: name of the environment variable of the Grafana server that holds the secret.
    boards_path: where the Grafana server sees `folder`/boards; by default the folder's own path.
    Raises ValueError for what cannot be the name of an environment variable; OSError where a file cannot be written.
    """
    for variable in (token_variable, password_variable):
        if variable and not _VARIABLE_NAME.match(variable):
            raise ValueError("expected the name of an environment variable, such as INFLUX_TOKEN, not its value")
    source = InfluxSource(
        url=_literal(influx_url),
        database=_literal(database),
        token=_filled_in(token_variable),
        username=_literal(username),
        password=_filled_in(password_variable),
        verify_tls=verify_tls,
    )
    boards = folder / BOARDS
    files = {
        folder / "datasources" / "edge-agent.yaml": _yaml(_data_sources(source)),
        folder / "dashboards" / "edge-agent.yaml": _yaml(_providers(boards_path or str(boards.resolve()))),
        boards / "plant.json": json.dumps(plant_board(), indent=1, ensure_ascii=False) + "\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def _data_sources(source: InfluxSource) -> dict[str, object]:
    entry = public_form(source) | {"orgId": 1, "editable": False}
    secrets = secret_form(source)
    return {"apiVersion": 1, "datasources": [entry | ({"secureJsonData": secrets} if secrets else {})]}


def _providers(boards_path: str) -> dict[str, object]:
    provider = {
        "name": NAME,
        "orgId": 1,
        "type": "file",
        "folder": FOLDER_TITLE,
        "folderUid": FOLDER_UID,
        "disableDeletion": False,
        "allowUiUpdates": True,
        "updateIntervalSeconds": 30,
        "options": {"path": _literal(boards_path), "foldersFromFilesStructure": False},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _filled_in(variable: str) -> str:
    return f"${{{variable}}}" if variable else ""


def _literal(text: str) -> str:
    """Text that Grafana does not take for the name of an environment variable."""
    return text.replace("$", "$$")


def _yaml(document: dict[str, Any]) -> str:
    yaml: Any = YAML()  # the round-trip kind keeps the order of keys
    text = io.StringIO()
    yaml.dump(document, text)
    return _HEADER + text.getvalue()
