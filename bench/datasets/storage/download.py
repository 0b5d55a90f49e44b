"""Downloads that go on where they stopped: what has come of a file waits in FILE.part, beside the place where FILE belongs.

A file gets its name when its md5 is right. Nothing is made in the data root before the first byte has come.
"""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.datasets.storage import raw
from bench.datasets.storage.progress_bar import bar
from bench.errors import UserError

CHUNK, TIMEOUT = 2**20, 60  # bytes; seconds without one
AGENT = "latentbench"  # some hosts refuse Python's own name


class File(NamedTuple):
    """A file of a dataset: its path under the data root, where it can be had, in the order to try, and its md5."""

    path: str
    urls: tuple[str, ...]
    md5: str


def fetch(name: str, root: Path, files: Sequence[File], by_hand: str) -> None:
    """Get each file that is missing or damaged; UserError says why not, what is kept, and the way `by_hand`."""
    if not raw.writable(root):
        raise UserError(f"cannot fetch {name}: {root} is not a writable folder; choose another with --data-root")
    for file in files:
        target = root / file.path
        part = target.with_name(f"{target.name}.part")
        try:
            if not (target.is_file() and raw.md5(target) == file.md5):
                first_of(file, part)
                os.replace(part, target)
        except (OSError, http.client.HTTPException, ValueError) as error:  # no network, no room, a host that talks nonsense
            kept = f" ({size(part):,} bytes of it are kept, the same command goes on)" if size(part) else ""
            said = f"{target.name}: {' '.join(str(error).split())}{kept}"
            raise UserError(f"cannot fetch {name}: {said}; {by_hand} and put them in {target.parent}") from None


def first_of(file: File, part: Path) -> None:
    """The file from the first address that has it, checked; raises OSError or HTTPException with the last one's reason."""
    for number, url in enumerate(file.urls, 1):
        try:
            whole(url, part)
            found = raw.md5(part)
            if found != file.md5:
                part.unlink()  # to begin from would be in vain
                raise OSError(f"what {url} sent has md5 {found}, expected {file.md5}")
            return
        except (OSError, http.client.HTTPException):
            if number == len(file.urls):
                raise


def whole(url: str, part: Path) -> None:
    """Receive until the end; a connection that breaks off is made again as long as each brings something."""
    while True:
        before = size(part)
        try:
            return receive(url, part)
        except (OSError, http.client.HTTPException):
            if size(part) <= before:
                raise


def receive(url: str, part: Path) -> None:
    """Add to `part` what one connection brings of `url`, from where `part` ends; raises OSError if it is not all.

    A host that knows no ranges sends the whole again, which then replaces `part`.
    """
    done = size(part)
    request = urllib.request.Request(url, headers={"User-Agent": AGENT} | ({"Range": f"bytes={done}-"} if done else {}))
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            return  # there is no more: it is whole, which its md5 will say
        raise
    with response:
        if response.headers.get_content_type() == "text/html":
            raise OSError("the host sent a page and not the file: it refuses, or too many have asked for it today")
        continued = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise OSError(f"asked for byte {done:,} on, the host sent {response.headers.get('Content-Range')}")
        done = done if continued else 0
        total = done + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if continued else "wb") as out, bar(f"fetching {part.stem}", total, done, "bytes") as advance:
            while chunk := response.read(CHUNK):
                out.write(chunk)
                advance(len(chunk))
    if total is not None and size(part) < total:
        raise OSError(f"the connection ended after {size(part):,} of {total:,} bytes")


def size(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    return path.stat().st_size if path.is_file() else 0
