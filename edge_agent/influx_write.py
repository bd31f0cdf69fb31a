"""One request to the database, and what its answer means for the points in it.

Rule 1: what is the points' fault is REJECTED; whatever an operator or time can mend (credentials, a missing bucket, a
proxy's word, a server that is down) is RETRY and costs no point.
Rule 2: the token is in no text that leaves this module.

The body goes out as it is: `WriteService.post_write…` of influxdb-client passes bytes through untouched as long as the
client's own `enable_gzip` is off, and takes the Content-Encoding as an argument. Its `WriteApi` was weighed too: it
would batch, retry and drop by rules of its own, where the outbox has to know what became of each entry.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum
from typing import Any, Final

import urllib3.exceptions
from influxdb_client import InfluxDBClient, WriteService
from influxdb_client.rest import ApiException

from config.compiled import InfluxSettings

MOST_WORDS: Final = 500
"""Characters of a server's words that are kept: it may answer with the whole line, or a whole page."""

MOST_RETRY_AFTER_SECONDS: Final = 300.0
"""A server may ask for more patience; not for more than this."""


class Outcome(IntEnum):
    """What became of a body, ordered by badness."""

    DELIVERED = 0  # the database has every point
    RETRY = 1  # transient, or the operator's to mend: stays in the outbox, not counted as loss
    REJECTED = 2  # at least one point will never be taken


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said. status: HTTP status, 0 where none came. words: its own, shortened, without the token.

    operator: whether a person has to act before a retry can succeed. retry_after: seconds that it asked to wait.
    """

    outcome: Outcome
    status: int = 0
    words: str = ""
    operator: bool = False
    retry_after: float | None = None


_STORED: Final = 204
"""Every database with this API answers so, and InfluxDB 1 says that 200 is no success. A login page of a network, or a
web server at the wrong address, answers 200 to anything."""

_POINTS_AT_FAULT: Final = {400, 413, 422}
"""Malformed or mistyped points, too much at once, points that cannot be stored."""

_TRANSIENT: Final = {408, 425, 429}
"""The client errors that time mends. All others (401, 403, 404, 405, …) speak of the address or the credentials."""

_MARKUP: Final = re.compile(r"<[^>]*>")
_PASSWORD_IN_URL: Final = re.compile(r"//[^/@\s]+@")


class InfluxWrite:
    """Sends bodies to `{url}/api/v2/write`. One thread at a time. Constructing touches no network."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._client: Any = InfluxDBClient(
            settings.url,
            token=settings.token or None,
            org=settings.org,
            timeout=max(1, settings.timeout_ns // 1_000_000),
            verify_ssl=settings.verify_tls,
            enable_gzip=False,
        )
        self._service: Any = WriteService(self._client.api_client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, body: bytes) -> Answer:
        """Send a gzip-compressed body of line protocol. Never raises for what a server or network can do."""
        try:
            _, status, _ = self._service.post_write_with_http_info(
                org=self._settings.org,
                bucket=self._settings.bucket,
                body=body,
                precision="ns",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
            )
        except ApiException as error:
            return self._answer(error)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Answer(Outcome.RETRY, words=self._words(f"{type(error).__name__}: {error}"))
        except UnicodeDecodeError:
            # The client decodes an answer before it looks at its status; InfluxDB answers in UTF-8.
            return Answer(
                Outcome.RETRY, words="the answer is not UTF-8: is this the address of InfluxDB?", operator=True
            )
        if status != _STORED:
            words = f"not the answer of a database that took the points, which is {_STORED}: is this its address?"
            return Answer(Outcome.RETRY, status, words, operator=True)
        return Answer(Outcome.DELIVERED, status)

    def _answer(self, error: ApiException) -> Answer:
        status: int = error.status or 0
        headers = {str(name).lower(): str(value) for name, value in (error.headers or {}).items()}
        # A page in HTML is a proxy's: it says nothing about the points.
        of_database = "html" not in headers.get("content-type", "")
        said = str(error.body or error.reason or "")
        words = self._words(said if of_database else _MARKUP.sub(" ", said))
        if status in _POINTS_AT_FAULT and (of_database or status == 413):
            return Answer(Outcome.REJECTED, status, words)
        transient = status in _TRANSIENT or status >= 500 or status == 0
        return Answer(
            Outcome.RETRY, status, words, operator=not transient, retry_after=_seconds(headers.get("retry-after"))
        )

    def _words(self, text: str) -> str:
        token = self._settings.token
        hidden = text.replace(token, "***") if token else text
        return _PASSWORD_IN_URL.sub("//***@", " ".join(hidden.split()))[:MOST_WORDS]


def _seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where it is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else None
