"""Files written whole or not at all: to a temporary name beside the place, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what a disk can refuse (full, read-only, no permission) into one line."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"cannot write {path}: a part of that path is a file, where a folder is needed; choose another --out") from None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; what was written before is intact, start the same command again to go on"
        ) from None


def write(path: Path, content: bytes) -> None:
    """Replace a file whole: a reader, or a crash, sees the old content or the new."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
