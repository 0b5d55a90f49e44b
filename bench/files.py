"""Files written whole or not at all: to a temporary name beside the place, then renamed; and what killed processes left of that.

A temporary file is locked by the process that writes it, and the operating system frees the locks of a process that ends,
however it ends: one that can be locked belongs to nobody.
"""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import UserError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # file systems without locks: NFS without its lock service, some of FUSE
ENDING = ".writing"  # of temporary files, hidden ones; nothing else is ever removed


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what a disk can refuse (full, read-only, no permission) into one line."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"cannot write {path}: a part of that path is a file, where a folder is needed; choose another --out") from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, NotImplementedError) or error.errno in NO_LOCKS:
            says = f"cannot lock {path}: {getattr(error, 'strerror', None) or error}; two commands could work on one run there"
            raise UserError(f"{says}; choose an --out on a disk with locks; python -m bench doctor tries one") from None
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; what was written before is intact, start the same command again to go on"
        ) from None


def write(path: Path, content: bytes) -> None:
    """Replace a file whole: a reader, or a crash, sees the old content or the new. Clears the folder of what killed writers left."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clear(path.parent)
        handle, name = temporary(path.parent)
        with os.fdopen(handle, "wb") as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(name, 0o644)
                os.replace(name, path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise


def temporary(folder: Path) -> tuple[int, str]:
    """A new hidden file, locked by this process for as long as it is open; -> its descriptor and its path. Raises OSError."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=ENDING)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process took it for a dead one's before it was locked, and removes it
            os.close(handle)
        except OSError:
            os.close(handle)
            os.unlink(name)
            raise
        else:
            if os.path.exists(name):
                return handle, name
            os.close(handle)


def clear(folder: Path) -> None:
    """Remove the temporary files of processes that are gone; one that is being written stays."""
    for left in folder.glob(f".*{ENDING}"):
        with suppress(OSError), left.open("rb") as file:  # locked by its writer, or finished meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
