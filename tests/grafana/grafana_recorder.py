"""A stand-in for Grafana: the few endpoints that `apply` uses, over real HTTP, with a record of every request.

Grafana itself is not in Debian nor in a package registry, so this is not the real thing. It keeps to what Grafana's
HTTP API documents: uids are unique, a second create answers 409, a save without `overwrite` over a board answers 412,
each save makes a new version, secrets are never given back, a wrong token is 401, a missing permission 403.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "glsa_the-token-of-the-test"


@dataclass
class Recorder:
    """What Grafana holds, and what it was asked. forbidden: beginnings of `METHOD /path` that answer 403."""

    url: str = ""
    datasources: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    boards: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    forbidden: tuple[str, ...] = ()

    def writes(self) -> list[str]:
        """The requests that were to change something."""
        return [request for request in self.requests if not request.startswith("GET")]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON for a request that is allowed."""
        parts = path.strip("/").split("/")[1:]  # without `api`
        match method, parts:
            case "GET", ["datasources", "uid", uid]:
                return self._found(self.datasources, uid)
            case "POST", ["datasources"]:
                return self._create_datasource(body)
            case "PUT", ["datasources", "uid", uid]:
                return self._keep_datasource(uid, body)
            case "GET", ["folders" | "dashboards" as kind, *_, uid]:
                return self._found(self.folders if kind == "folders" else self.boards, uid)
            case "POST", ["folders"]:
                return self._create_folder(body)
            case "POST", ["dashboards", "db"]:
                return self._save(body)
            case _:
                raise AssertionError(f"apply asks for what this stand-in does not know: {method} {path}")

    @staticmethod
    def _found(things: dict[str, dict[str, Any]], uid: str) -> tuple[int, Any]:
        return (200, things[uid]) if uid in things else (404, {"message": "not found"})

    def _create_datasource(self, body: dict[str, Any]) -> tuple[int, Any]:
        if any(d["name"] == body["name"] for d in self.datasources.values()):
            return 409, {"message": "data source with the same name already exists"}
        return self._keep_datasource(body["uid"], body)

    def _create_folder(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.folders[body["uid"]] = {"id": 1, "uid": body["uid"], "title": body["title"]}
        return 200, self.folders[body["uid"]]

    def _keep_datasource(self, uid: str, body: dict[str, Any]) -> tuple[int, Any]:
        secrets = body.pop("secureJsonData", {})
        self.secrets.setdefault(uid, {}).update(secrets)
        shown = {"id": 1, "readOnly": False, "secureJsonFields": dict.fromkeys(self.secrets[uid], True)}
        self.datasources[uid] = body | shown
        return 200, {"message": "Datasource added", "datasource": self.datasources[uid]}

    def _save(self, body: dict[str, Any]) -> tuple[int, Any]:
        uid = body["dashboard"]["uid"]
        before = self.boards.get(uid)
        if before is not None and not body.get("overwrite"):
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        version = 1 if before is None else before["meta"]["version"] + 1
        self.boards[uid] = {
            "dashboard": body["dashboard"] | {"id": 7, "version": version},
            "meta": {"folderUid": body["folderUid"], "version": version},
        }
        return 200, {"uid": uid, "version": version, "status": "success"}


@contextlib.contextmanager
def grafana_recorder(prefix: str = "") -> Iterator[Recorder]:
    """A recorder behind HTTP on a free port of the loopback interface, below the path `prefix`; gone on leaving."""
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.removeprefix(prefix)
            asked = f"{self.command} {path}"
            recorder.requests.append(asked)
            if not self.path.startswith(f"{prefix}/api/"):
                self.reply(200, "text/html", b"<html>Welcome</html>")
                return
            status, answer = self.judged(asked, path, body)
            self.reply(status, "application/json", json.dumps(answer).encode())

        def judged(self, asked: str, path: str, body: Any) -> tuple[int, Any]:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, {"message": "Invalid API key"}
            if any(asked.startswith(forbidden) for forbidden in recorder.forbidden):
                return 403, {"message": "You'll need additional permissions to perform this action."}
            return recorder.answer(self.command, path, body)

        def reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    recorder.url = f"http://127.0.0.1:{server.server_port}{prefix}"
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
