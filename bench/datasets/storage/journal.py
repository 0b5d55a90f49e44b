"""What is finished of a pack that is being written, so that one whose process was killed is continued.

`journal.jsonl` beside the arrays: the pack's facts in the first line, then one line for each block that was written, with
its rows and its sha256. Blocks are not synchronised to the disk one by one; after a power cut the hashes say which arrived.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

NAME = "journal.jsonl"


class Journal:
    """The journal in `folder`, which is emptied first unless its journal has the same facts."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]):
        self.path = folder / NAME
        self.head = json.dumps(facts, sort_keys=True)
        self.blocks: list[tuple[str, int, str]] = []  # array, rows, sha256
        lines = whole_lines(self.path)
        if lines[:1] == [self.head]:
            self.blocks = [(array, rows, digest) for array, rows, digest in map(json.loads, lines[1:])]
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.rewrite()

    def rewrite(self) -> None:
        """All lines anew: without a last one that was cut short, and without blocks that turned out to be damaged."""
        lines = [self.head, *map(json.dumps, self.blocks)]
        self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def add(self, array: str, rows: int, data: Any) -> None:
        """A block has been written to `array`."""
        block = (array, rows, hashlib.sha256(data).hexdigest())
        self.blocks.append(block)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(block)}\n")

    def intact_rows(self, array: str, file: BinaryIO, row_bytes: int, digest: Any) -> int:
        """Rows of `array` that are in `file` as they were written, from its position on; the position is behind them then.

        `digest` is updated with them. Blocks from the first damaged one on are forgotten.
        """
        own, others = ([block for block in self.blocks if (block[0] == array) == mine] for mine in (True, False))
        rows = 0
        for number, (_, count, expected) in enumerate(own):
            start, data = file.tell(), file.read(count * row_bytes)
            if hashlib.sha256(data).hexdigest() != expected:  # too short, too
                file.seek(start)
                self.blocks = others + own[:number]
                self.rewrite()
                break
            digest.update(data)
            rows += count
        return rows


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that end; [] if it cannot be read."""
    try:
        return path.read_bytes().decode().split("\n")[:-1]
    except (OSError, UnicodeDecodeError):
        return []
