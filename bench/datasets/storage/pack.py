"""Packed datasets: images decoded once to uint8, beside the raw files, under a name that their convention decides.

`<data root>/packed/<name>-<hash of the convention>/` holds one .npy file per array and meta.json: the arrays' shapes
and sha256, the raw files' sizes and sha256. Loading compares the arrays with their hashes and the raw files by their sizes; `verify`
reads everything. A pack is written under a hidden name; what a killed process left there is continued (bench/datasets/storage/journal.py).
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from bench.datasets.dataset import Dataset
from bench.datasets.storage.journal import Journal
from bench.datasets.storage.raw import located, writable
from bench.errors import UserError

FORMAT = 1  # of the files written here; a change packs anew
SMALL = 256 * 2**20  # bytes; what is smaller is held in memory, what is larger stays on disk
FALLBACK = Path("data")  # where large sets are packed when the data root cannot be written


After = Callable[[int], Iterable[np.ndarray]]  # row -> blocks from there on


@dataclass(frozen=True)
class Stream:
    """An array that comes in blocks of rows, so that it may be larger than memory."""

    shape: tuple[int, ...]
    dtype: str
    blocks: Iterable[np.ndarray]
    after: After | None = None  # the blocks again, from a row on: what is half written can be continued

    @classmethod
    def continuable(cls, shape: tuple[int, ...], dtype: str, after: After) -> "Stream":
        """Blocks that can begin at any row."""
        return cls(shape, dtype, (), after)

    @classmethod
    def of(cls, array: np.ndarray) -> "Stream":
        """One block: an array that is in memory anyway."""
        return cls(array.shape, array.dtype.str, (array,))

    def rows_from(self, row: int) -> Iterable[np.ndarray]:
        """The blocks from a row on; only a stream that is continuable has them for a row that is not the first."""
        return self.after(row) if self.after else self.blocks

    @property
    def nbytes(self) -> int:
        """Size of the whole array."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


Read = Callable[[Path], Mapping[str, Stream]]  # data root -> train, test, and maybe labels and factors of each


def load(root: Path, *, name: str, convention: str, files: Sequence[str], read: Read) -> Dataset:
    """The packed dataset; packs it first if there is no sound pack of the raw `files` that are there now.

    A small set is read into memory where the data root is read-only, a large one is packed in ./data then.
    Raises UserError for missing or damaged raw files, and where the pack cannot be written.
    """
    found, spots = find(root, name, convention, files, whole=True), places(root, name, convention)
    if found:
        return found[1]
    try:
        streams = read(root)
    except UserError as error:
        spoilt = [f"; the pack in {place} is damaged or of other files" for place in spots if place.exists()]
        raise UserError("".join([str(error), *spoilt])) from None
    size = sum(stream.nbytes for stream in streams.values())
    if not writable(spots[0]) and size <= SMALL:
        return dataset({key: np.concatenate(list(stream.rows_from(0))) for key, stream in streams.items()})
    folder = next((place for place in spots if writable(place)), None)
    if folder is None:
        raise UserError(f"cannot pack {name} ({size / 1e6:,.0f} MB): neither {root} nor {FALLBACK} can be written")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not opened(folder, sizes(root, files), whole=True):  # another process may have packed it meanwhile
                write(folder, streams, {"name": name, "convention": convention, "sources": sources(root, files)})
    except (BrokenExecutor, MemoryError) as error:
        died = "a worker process was killed, perhaps for memory" if isinstance(error, BrokenExecutor) else "no memory left"
        raise UserError(f"cannot pack {name} in {folder}: {died}; what is done is kept, the same command goes on") from None
    except OSError as error:
        reason = f"{error.strerror or error}; it takes {size / 1e6:,.1f} MB"
        raise UserError(f"cannot pack {name} in {folder}: {reason}; make room or choose another --data-root") from None
    packed = opened(folder, sizes(root, files))
    if packed is None:
        raise UserError(f"{folder}: unreadable right after it was written; did a raw file of {name} change meanwhile?")
    return packed


def places(root: Path, name: str, convention: str) -> list[Path]:
    """The folders a pack may be in, preferred first."""
    key = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}-{hashlib.sha256(f'{FORMAT} {convention}'.encode()).hexdigest()[:12]}"
    return list(dict.fromkeys(base / "packed" / key for base in (root, FALLBACK)))


def find(root: Path, name: str, convention: str, files: Sequence[str], whole: bool = False) -> tuple[Path, Dataset] | None:
    """The folder and the content of a sound pack of the raw files that are there now. whole: compare the arrays with their hashes."""
    for folder in places(root, name, convention):
        found = opened(folder, sizes(root, files), whole)
        if found:
            return folder, found
    return None


def opened(folder: Path, raw: Mapping[str, int], whole: bool = False) -> Dataset | None:
    """The pack in `folder`; None if there is none, if it is cut short, or if it was made of files with other sizes.

    whole: also if an array is not what was packed; as long as reading it takes, once a process.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        arrays = {}
        for name, entry in meta["arrays"].items():
            array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            if list(array.shape) != entry["shape"] or array.dtype.str != entry["dtype"]:
                return None
            arrays[name] = array if array.nbytes > SMALL else np.array(array)
            if whole and content_hash(arrays[name]) != entry["sha256"]:
                return None
        same = all(meta["sources"].get(file, {}).get("bytes") == size for file, size in raw.items())
        return dataset(arrays) if same else None
    except Exception:  # absent or damaged, which readers of JSON and of array headers each say in many ways: it is made again
        return None


def dataset(arrays: Mapping[str, np.ndarray]) -> Dataset:
    """From the arrays of a pack, by name; raises KeyError."""
    return Dataset(
        arrays["train"],
        arrays["test"],
        arrays.get("train_labels"),
        arrays.get("test_labels"),
        train_factors=arrays.get("train_factors"),
        test_factors=arrays.get("test_factors"),
    )


def sizes(root: Path, files: Sequence[str]) -> dict[str, int]:
    """Bytes of the raw files that are there, by their path under the data root."""
    paths = [path for file in files if (path := located(root, file)) and path.is_file()]
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in paths}


def sources(root: Path, files: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Size and sha256 of the raw files that are there."""
    return {file: {"bytes": size, "sha256": sha256(root / file)} for file, size in sizes(root, files).items()}


def content_hash(array: np.ndarray) -> str:
    """sha256 of the values, in blocks: a packed array may be larger than memory."""
    digest = hashlib.sha256()
    for start in range(0, len(array), 4096):
        digest.update(np.ascontiguousarray(array[start : start + 4096]).data)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, streams: Mapping[str, Stream], facts: Mapping[str, Any]) -> None:
    """Arrays and meta.json under a temporary name, then renamed: a pack is whole or not there. Raises OSError.

    The caller holds the lock. What a killed process left under the temporary name is continued if it was made of the same.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shapes = {name: [list(stream.shape), stream.dtype] for name, stream in streams.items()}
    try:
        journal = Journal(temporary, {"format": FORMAT, **facts, "shapes": shapes})
        arrays = {name: write_array(temporary / f"{name}.npy", stream, journal) for name, stream in streams.items()}
        meta = json.dumps({"format": FORMAT, **facts, "arrays": arrays}, indent=1)
        (temporary / "meta.json").write_text(meta, encoding="utf-8")
        journal.path.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except BaseException as error:  # half of a large set is gigabytes: kept only if the same command may well go on from it
        stopped = not isinstance(error, Exception) or isinstance(error, BrokenExecutor | MemoryError)
        if not (stopped and any(stream.after for stream in streams.values())):
            shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_array(path: Path, stream: Stream, journal: Journal | None = None) -> dict[str, Any]:
    """One .npy file, block by block, after what the journal says is in it; its entry of meta.json. Raises OSError.

    Plain writes and not a memory map: on a full disk they raise, where a map kills the process.
    """
    journal = journal if stream.after else None  # what cannot be continued begins anew
    digest, rows = hashlib.sha256(), 0
    with path.open("r+b" if journal and path.exists() else "w+b") as file:
        header = {"descr": stream.dtype, "fortran_order": False, "shape": stream.shape}
        np.lib.format.write_array_header_1_0(file, header)
        if journal:
            rows = journal.intact_rows(path.stem, file, stream.nbytes // max(1, stream.shape[0]), digest)
        file.truncate()
        for block in stream.rows_from(rows):
            data = np.ascontiguousarray(block, dtype=stream.dtype).data
            file.write(data)
            digest.update(data)
            rows += len(block)
            if journal:
                file.flush()  # before its line: a block that the journal has is in the file
                journal.add(path.stem, len(block), data)
        file.flush()
        os.fsync(file.fileno())
    if rows != stream.shape[0]:
        raise ValueError(f"{path.name}: {rows} rows came, {stream.shape[0]} were announced")
    return {"shape": list(stream.shape), "dtype": stream.dtype, "sha256": digest.hexdigest()}


def verify(folder: Path, root: Path) -> None:
    """Read a pack, and the raw files it was made of where they still are, against the hashes in its meta.json."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    for name, entry in meta["arrays"].items():
        digest = content_hash(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        if digest != entry["sha256"]:
            found = f"sha256 {digest}, packed with {entry['sha256']}"
            raise UserError(f"{folder / name}.npy is damaged: {found}; delete {folder} to pack anew")
    for file, entry in meta["sources"].items():
        if (root / file).is_file() and sha256(root / file) != entry["sha256"]:
            raise UserError(f"{root / file} is not the file {folder} was packed from; delete that folder to pack anew")
