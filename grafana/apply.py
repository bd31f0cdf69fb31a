"""Puts data source, folder and boards into a running Grafana, over its HTTP API.

Rule 1: idempotent. Everything has a fixed uid; what is there already and equal is left alone.
Rule 2: every error says what to do, and none repeats a token.

Two ways were weighed for boards: always send them with `overwrite`, or read and compare first. Comparing won: Grafana
writes a new version at every save, and a nightly `apply` would bury the versions that people made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, TokenAuth

from grafana import datasource
from grafana.datasource import InfluxSource
from grafana.plant import plant_board
from grafana.provisioning import FOLDER_TITLE, FOLDER_UID

TIMEOUT_SECONDS: Final = 10.0


class Outcome(StrEnum):
    """What was done to a thing in Grafana."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did. board_url: where to look at the board *Plant*."""

    datasource: Outcome
    folder: Outcome
    board: Outcome
    board_url: str


class ApplyError(Exception):
    """Grafana could not be set up. reason: one sentence; hint: what the operator can do. No secret in either."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason}\n{hint}")
        self.reason = reason
        self.hint = hint


def apply(url: str, token: str, *, influx: InfluxSource) -> Applied:
    """Make Grafana have the data source, the folder and the board *Plant*, as they are in this version.

    url: of Grafana, with its path where it is served below one. token: of a service account.
    Credentials of the data source are sent at every call, since Grafana does not show those that it has.
    Raises ApplyError.
    """
    root = _checked_url(url)
    api = GrafanaApi.from_url(f"{root}/", credential=TokenAuth(_checked_token(token)), timeout=TIMEOUT_SECONDS)
    try:
        return Applied(
            datasource=_apply_datasource(api, root, influx),
            folder=_apply_folder(api, root),
            board=_apply_board(api, root),
            board_url=f"{root}/d/{plant_board()['uid']}",
        )
    finally:
        api.client.s.close()


def _apply_datasource(api: Any, root: str, influx: InfluxSource) -> Outcome:
    wanted = datasource.public_form(influx)
    secrets = datasource.secret_form(influx)
    with _explained(root, "read data sources", "datasources:read"):
        present = _or_none(lambda: api.datasource.get_datasource_by_uid(datasource.UID))
    body = wanted | {"secureJsonData": secrets}
    if present is None:
        with _explained(root, "create a data source", "datasources:create, which the role Admin has"):
            api.datasource.create_datasource(body)
        return Outcome.CREATED
    equal = _holds(present, wanted)
    if secrets or not equal:
        with _explained(root, "change the data source", "datasources:write, which the role Admin has"):
            api.datasource.update_datasource_by_uid(datasource.UID, body)
    return Outcome.UNCHANGED if equal else Outcome.UPDATED


def _apply_folder(api: Any, root: str) -> Outcome:
    with _explained(root, "read folders", "folders:read"):
        present = _or_none(lambda: api.folder.get_folder(FOLDER_UID))
    if present is not None:
        return Outcome.UNCHANGED  # its title is the plant's to choose
    with _explained(root, "create a folder", "folders:create, which the role Editor has"):
        api.folder.create_folder(FOLDER_TITLE, uid=FOLDER_UID)
    return Outcome.CREATED


def _apply_board(api: Any, root: str) -> Outcome:
    wanted = plant_board()
    with _explained(root, "read dashboards", "dashboards:read"):
        present = _or_none(lambda: api.dashboard.get_dashboard(wanted["uid"]))
    if present is not None and _holds(present["dashboard"], wanted) and _folder_of(present) == FOLDER_UID:
        return Outcome.UNCHANGED
    with _explained(root, "save a dashboard", "dashboards:create and dashboards:write, which the role Editor has"):
        api.dashboard.update_dashboard(
            {"dashboard": wanted, "folderUid": FOLDER_UID, "overwrite": True, "message": "edge-agent grafana apply"}
        )
    return Outcome.CREATED if present is None else Outcome.UPDATED


def _folder_of(present: Mapping[str, Any]) -> object:
    return present.get("meta", {}).get("folderUid")


def _holds(present: object, wanted: object) -> bool:
    """Whether Grafana has everything that is wanted; what it adds of its own does not count."""
    if isinstance(wanted, Mapping) and isinstance(present, Mapping):
        return all(key in present and _holds(present[key], value) for key, value in wanted.items())
    return present == wanted


def _or_none(read: Callable[[], Any]) -> Any:
    try:
        answer = read()
    except GrafanaClientError as error:
        if error.status_code == 404:
            return None
        raise
    if not isinstance(answer, Mapping):
        raise ValueError("an answer of another program")  # a page, say; `_explained` says it better
    return answer


@contextmanager
def _explained(root: str, doing: str, permission: str) -> Iterator[None]:
    """Turns the errors of the client into one that says what was being done and what is needed for it."""
    try:
        yield
    except GrafanaException as error:
        raise _explanation(root, doing, permission, error) from None
    except ValueError:  # comes first: the client's error for JSON that is none is an OSError too
        raise ApplyError(
            f"What answers at {root} does not speak Grafana's API.", "Check the address; a path may be missing."
        ) from None
    except OSError:  # what the HTTP client raises for refused connections, unknown hosts and bad certificates
        raise ApplyError(
            f"Grafana at {root} cannot be reached.", "Check the address, that Grafana runs, and its certificate."
        ) from None


def _explanation(root: str, doing: str, permission: str, error: Any) -> ApplyError:
    says = error.response.get("message", "") if isinstance(error.response, Mapping) else ""
    words = f": {says}" if says else "."
    match error.status_code:
        case 0:
            return ApplyError(f"Grafana at {root} did not answer within {TIMEOUT_SECONDS:g} s.", "Try again later.")
        case 401:
            return ApplyError(
                f"Grafana at {root} does not accept the token (401)",
                "It may have expired: make a new one for a service account.",
            )
        case 403:
            return ApplyError(
                f"The token may not {doing} (403).", f"Its service account needs the permission {permission}."
            )
        case 409 | 412:
            return ApplyError(
                f"Grafana would not {doing}, since another of that name is there ({error.status_code}){words}",
                "Rename or remove the other one, then apply again.",
            )
        case status:
            return ApplyError(f"Grafana would not {doing} ({status}){words}", "Its own log says more.")


def _checked_url(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApplyError("The address of Grafana is not a URL.", "Expected something like http://localhost:3000.")
    if parts.username or parts.password:
        raise ApplyError("The address of Grafana carries a password.", "Give a service account token instead.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _checked_token(token: str) -> str:
    clean = token.strip()
    if not clean or not clean.isascii() or not clean.isprintable() or " " in clean:
        raise ApplyError("The token is empty or has characters that no token has.", "Copy it again from Grafana.")
    return clean
