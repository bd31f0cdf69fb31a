"""The data source of the boards: an InfluxDB asked in InfluxQL, in the form that Grafana keeps.

Rule: secrets are never part of the public form; they go into `secureJsonData`, which Grafana encrypts and never shows.
InfluxDB 2.x answers InfluxQL for a *database* that maps to a bucket (DBRP mapping); a bucket without a mapping of its
own is found under its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

UID: Final = "edge-agent"
NAME: Final = "edge-agent"


@dataclass(frozen=True, slots=True)
class InfluxSource:
    """Where Grafana finds the agent's points.

    url: as Grafana reaches it, without a path. database: of InfluxDB 1.x, or the one mapped to the bucket of 2.x.
    token: InfluxDB 2.x. username, password: InfluxDB 1.x, or a 1.x-compatible authorisation of 2.x. None of them: no
    authentication.
    Raises ValueError for a token together with a username.
    """

    url: str
    database: str
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    verify_tls: bool = True

    def __post_init__(self) -> None:
        if self.token and self.username:
            raise ValueError("a data source signs in with a token or with a username, not with both")


def database_of(bucket: str) -> str:
    """The database that holds a bucket's points: of `database/retention_policy`, the first part."""
    return bucket.split("/", 1)[0]


def public_form(source: InfluxSource) -> dict[str, object]:
    """What Grafana keeps in the open."""
    details: dict[str, object] = {
        "version": "InfluxQL",
        "dbName": source.database,
        "httpMode": "POST",  # with a hundred machines chosen, a query is longer than a URL may be
        "tlsSkipVerify": not source.verify_tls,
    }
    if source.token:
        details["httpHeaderName1"] = "Authorization"
    return {
        "uid": UID,
        "name": NAME,
        "type": "influxdb",
        "access": "proxy",
        "url": source.url,
        "user": source.username,
        "database": source.database,
        "isDefault": False,
        "jsonData": details,
    }


def secret_form(source: InfluxSource) -> dict[str, str]:
    """What Grafana keeps encrypted: `secureJsonData`; empty without authentication."""
    if source.token:
        return {"httpHeaderValue1": f"Token {source.token}"}
    return {"password": source.password} if source.username else {}
