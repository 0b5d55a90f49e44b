"""Datasets that come as a package of the operating system: copied from where it puts them, before anything is downloaded."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.datasets.storage import raw
from bench.errors import UserError


class Package(NamedTuple):
    """A package, and the folder in which it puts a dataset's files under their official names."""

    name: str
    folder: Path


PACKAGES = {"fashion_mnist": Package("Debian's package dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist"))}


def take(name: str, root: Path, files: Sequence[str], verify: Callable[[Path], None]) -> str | None:
    """Copy the files of dataset `name` to the data root, once `verify` has found the copies good; -> from where, in words.

    None where no package is installed that has all of them, or where they are damaged. Raises UserError for a root that takes no files.
    """
    package = PACKAGES.get(name)
    if package is None or not all((package.folder / Path(file).name).is_file() for file in files):
        return None
    if not raw.writable(root):
        raise UserError(f"cannot fetch {name}: {root} is not a writable folder; choose another with --data-root")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as temporary:
            copies = [Path(temporary) / file for file in files]
            for copy in copies:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(package.folder / copy.name, copy)
            try:
                verify(Path(temporary))
            except UserError:
                return None
            for copy, file in zip(copies, files, strict=True):
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                os.replace(copy, root / file)
    except OSError as error:
        raise UserError(f"cannot fetch {name}: {package.folder} cannot be copied to {root}: {error.strerror}") from None
    return f"{package.folder}, {package.name}"
