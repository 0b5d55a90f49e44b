"""Downloads from a web server on this machine that breaks off, refuses, knows no ranges or sends something else."""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from small_mnist import file_size_limit, read_only

from bench.datasets.storage import download
from bench.errors import UserError

CONTENT = np.random.default_rng(2).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
BY_HAND = "take a.bin from https://example.org/page"


@dataclass
class Host:
    """What the server sends, how much of it before it breaks off, and what it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    breaks: list[int] = field(default_factory=list)  # bytes sent by the first, second, ... connection
    ranges: bool = True
    shift: int = 0  # a wrong answer: another range than asked for
    status: int = 0
    page: bool = False
    length: bool = True
    asked: list[str | None] = field(default_factory=list)

    def file(self, md5: str = MD5, *others: str) -> download.File:
        return download.File("set/a.bin", (*others, self.url), md5)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    found = Host()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

        def do_GET(self) -> None:
            given = self.headers.get("Range")
            found.asked.append(given)
            start = int(re.fullmatch(r"bytes=(\d+)-", given)[1]) if given and found.ranges else 0  # type: ignore[index]
            if found.status or start >= len(found.content):
                self.send_error(found.status or 416)
                return
            start += found.shift if start else 0
            self.send_response(206 if given and found.ranges else 200)
            if given and found.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(found.content) - 1}/{len(found.content)}")
            self.send_header("Content-Type", "text/html" if found.page else "application/octet-stream")
            if found.length:
                self.send_header("Content-Length", str(len(found.content) - start))
            self.end_headers()
            self.wfile.write(found.content[start:][: found.breaks.pop(0) if found.breaks else None])

    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}/a.bin"
        yield found
        server.shutdown()


def get(root: Path, file: download.File) -> bytes:
    download.fetch("few", root, [file], BY_HAND)
    assert [path.name for path in (root / "set").iterdir()] == ["a.bin"]
    return (root / "set" / "a.bin").read_bytes()


def refused(root: Path, file: download.File) -> str:
    """What is said when it cannot be had."""
    with pytest.raises(UserError) as caught:
        download.fetch("few", root, [file], BY_HAND)
    said = str(caught.value)
    assert said.startswith("cannot fetch few: a.bin: ")
    assert said.endswith(f"; {BY_HAND} and put them in {root / 'set'}")
    assert not (root / "set" / "a.bin").exists()
    return said


def test_a_file_arrives_and_is_not_asked_for_again(tmp_path: Path, host: Host) -> None:
    assert get(tmp_path, host.file()) == CONTENT
    assert get(tmp_path, host.file()) == CONTENT
    assert host.asked == [None]


@pytest.mark.parametrize("length", [True, False])
def test_what_came_before_is_not_asked_for_again(tmp_path: Path, host: Host, length: bool) -> None:
    host.length = length
    part = tmp_path / "set" / "a.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:123_456])
    assert get(tmp_path, host.file()) == CONTENT
    assert host.asked == ["bytes=123456-"]


def test_a_connection_that_breaks_off_is_made_again(tmp_path: Path, host: Host) -> None:
    host.breaks = [100_000, 50_000]
    assert get(tmp_path, host.file()) == CONTENT
    assert host.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_one_that_brings_nothing_any_more_keeps_what_came(tmp_path: Path, host: Host) -> None:
    host.breaks = [100_000, 0]
    said = refused(tmp_path, host.file())
    assert "the connection ended after 100,000 of 300,000 bytes (100,000 bytes of it are kept, the same command goes on)" in said
    assert (tmp_path / "set" / "a.bin.part").read_bytes() == CONTENT[:100_000]
    assert get(tmp_path, host.file()) == CONTENT
    assert host.asked == [None, "bytes=100000-", "bytes=100000-"]


def test_a_host_without_ranges_sends_it_whole(tmp_path: Path, host: Host) -> None:
    host.ranges, host.breaks = False, [100_000]
    assert get(tmp_path, host.file()) == CONTENT
    assert host.asked == [None, "bytes=100000-"]


def test_a_part_that_is_whole_is_recognised(tmp_path: Path, host: Host) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(CONTENT)
    assert get(tmp_path, host.file()) == CONTENT


@pytest.mark.parametrize("before", [b"", b"part of another file", bytes(300_000), CONTENT + b"x"])
def test_something_else_does_not_enter_the_data_root_and_is_not_continued(tmp_path: Path, host: Host, before: bytes) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(before)
    host.content = CONTENT[:-1] + b"!" if CONTENT[-1:] != b"!" else CONTENT[:-1] + b"?"
    found = hashlib.md5(before + host.content[len(before) :]).hexdigest()
    said = refused(tmp_path, host.file())
    assert f"what {host.url} sent has md5 {found}, expected {MD5}" in said
    assert list((tmp_path / "set").iterdir()) == []
    host.content = CONTENT
    assert get(tmp_path, host.file()) == CONTENT


def test_a_damaged_file_is_replaced(tmp_path: Path, host: Host) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin").write_bytes(b"damaged")
    assert get(tmp_path, host.file()) == CONTENT


def test_another_range_than_asked_for_is_refused(tmp_path: Path, host: Host) -> None:
    host.shift, host.breaks = 1, [100_000]
    assert "asked for byte 100,000 on, the host sent bytes 100001-299999/300000 (100,000 bytes of it" in refused(tmp_path, host.file())


def test_a_page_instead_of_the_file_is_a_refusal(tmp_path: Path, host: Host) -> None:
    host.page = True
    assert "the host sent a page and not the file: it refuses, or too many have asked" in refused(tmp_path, host.file())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_host_that_refuses(tmp_path: Path, host: Host, status: int) -> None:
    host.status = status
    assert f"HTTP Error {status}" in refused(tmp_path, host.file())
    assert list(tmp_path.iterdir()) == []


def test_the_next_address_is_tried(tmp_path: Path, host: Host) -> None:
    download.fetch("few", tmp_path, [host.file(MD5, "http://127.0.0.1:9/a.bin")], BY_HAND)
    assert (tmp_path / "set" / "a.bin").read_bytes() == CONTENT


def test_a_full_disk_keeps_what_came(tmp_path: Path, host: Host) -> None:
    with file_size_limit(200_000):
        assert "File too large (200,000 bytes of it are kept" in refused(tmp_path, host.file())
    assert get(tmp_path, host.file()) == CONTENT


def test_a_data_root_that_cannot_be_written(tmp_path: Path, host: Host) -> None:
    with read_only(tmp_path), pytest.raises(UserError, match="is not a writable folder; choose another with --data-root"):
        download.fetch("few", tmp_path, [host.file()], BY_HAND)
    assert host.asked == []
