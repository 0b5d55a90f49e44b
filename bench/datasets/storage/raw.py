"""Raw files of a dataset: where they lie, what to say when they are missing, downloads that arrive whole or not at all."""

import hashlib
import os
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.errors import UserError


def located(root: Path, file: str) -> Path | None:
    """Where `file` lies under the data root: as named, or unpacked beside it (without .gz or .zip); None if nowhere."""
    packed = root / file
    unpacked = packed.with_suffix("") if packed.suffix in (".gz", ".zip") else packed
    return next((path for path in (packed, unpacked) if os.path.exists(path)), None)


def instructions(name: str, root: Path, folder: str, url: str) -> str:
    """How a user gets the files of dataset `name`, and where they belong."""
    other_root = "" if root == Path("data") else f" --data-root {shlex.quote(str(root))}"
    return (
        f"download with `python -m bench data fetch {name}{other_root}`, or take them from {url} "
        f"and put them in {root / folder} (another data root: --data-root or LATENTBENCH_DATA)"
    )


def require(name: str, root: Path, files: Sequence[str], url: str) -> list[Path]:
    """The paths of `files` (each relative to `root`), all in one folder; UserError names every missing one."""
    folder = str(Path(files[0]).parent)
    found = [located(root, file) for file in files]
    absent = [Path(file).name for file, path in zip(files, found, strict=True) if path is None]
    if absent:
        what = f"dataset {name}: {len(absent)} of {len(files)} files missing in {root / folder}: {', '.join(absent)}"
        raise UserError(f"{what}; {instructions(name, root, folder, url)}")
    return [path for path in found if path is not None]


def md5(path: Path) -> str:
    """Of a whole file; what the official pages give."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def digest(path: Path, algorithm: str, before: bytes = b"") -> str:
    """The hash of a whole file behind the bytes `before`, in hexadecimal; UserError where it cannot be read."""
    found = hashlib.new(algorithm, before)
    try:
        with path.open("rb") as file:
            while part := file.read(2**20):
                found.update(part)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    return found.hexdigest()


def check_md5(path: Path, expected: str, what_to_do: str) -> None:
    """UserError for a file that is another than the official one."""
    found = digest(path, "md5")
    if found != expected:
        raise UserError(f"{path} is damaged: {path.stat().st_size:,} bytes with md5 {found}, expected {expected}; {what_to_do}")


def writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or it can be made; a mode without write bits counts even for root."""
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def download(name: str, root: Path, folder: str, url: str, arrive: Callable[[Path], None]) -> None:
    """Move what `arrive(temporary root)` puts in `folder` to the data root; a failure leaves the data root as it was.

    `arrive` checks what it downloaded.
    """
    by_hand = f"take them from {url} and put them in {root / folder}"
    if not writable(root):
        raise UserError(f"cannot fetch {name}: {root} is not a writable folder; choose another with --data-root")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as temporary:
            arrive(Path(temporary))
            (root / folder).mkdir(parents=True, exist_ok=True)
            for path in sorted((Path(temporary) / folder).iterdir()):
                os.replace(path, root / folder / path.name)
    except Exception as error:  # urllib, torchvision, gdown and the disk each raise kinds of their own
        raise UserError(f"cannot fetch {name}: {' '.join(str(error).split())}; {by_hand}") from None
