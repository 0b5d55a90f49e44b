"""A stand-in for a Hugging Face hub on this machine: what huggingface_hub's client asks of one for commits and downloads."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """Files by repository and name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers of the hub."""

    server: Hub

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def answer(self, code: int, content: bytes = b"", **headers: str) -> None:
        """An answer with its length."""
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **{n.replace("_", "-"): v for n, v in headers.items()}}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def table(self, value: Any) -> None:
        """An answer in JSON."""
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        """Repositories, what is to be uploaded how, commits."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization", "me"), asked["name"]]))
            self.server.repositories.setdefault(name, {})
            self.server.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.table({"url": f"{self.server.address}/{name}"})
        elif parts == ["api", "validate-yaml"]:
            self.table({"errors": [], "warnings": []})
        elif parts[4:5] == ["preupload"]:
            files = json.loads(body)["files"]
            self.table({"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]})
        elif parts[4:5] == ["commit"]:
            name = "/".join(parts[2:4])
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.repositories[name][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self.table({"success": True, "commitOid": COMMIT, "commitUrl": f"{self.server.address}/{name}/commit/{COMMIT}"})
        else:
            self.answer(404)

    def do_GET(self) -> None:
        """Files, and what is said of a repository."""
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:1] == ["api"]:
            self.table({"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": []})
            return
        name, file = "/".join(parts[:2]), "/".join(parts[4:])
        content = self.server.repositories.get(name, {}).get(file)
        if content is None:
            code = "EntryNotFound" if name in self.server.repositories else "RepoNotFound"
            self.answer(404, X_Error_Code=code, X_Repo_Commit=COMMIT)
            return
        self.answer(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub for as long as the block lasts."""
    server = Hub()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
