"""Packs that were stopped half-way: continued where they stopped, with the same bytes; and made in little memory."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from harness import group_of, pids, until
from PIL import Image
from small_celeba import encoded, load, names, packed_folder, photo, put, small

from bench.datasets import celeba
from bench.datasets.storage import celeba_files as faces
from bench.datasets.storage import journal, pack
from bench.errors import UserError

N, BLOCK, STOP = 50, 4, 22  # images, in blocks of, and where the first attempt stops: 5 blocks are whole
IMAGES = np.random.default_rng(1).integers(0, 256, (N, 1, 3, 2), np.uint8)
IMAGES[4:12] = 7  # two blocks that are the same


class Half:
    """A stream that stops once, and notes which rows it was asked for."""

    def __init__(self, stop: BaseException | None = None):
        self.stop, self.rows, self.asked = stop, STOP, list[int]()

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        self.asked.append(start)
        for row in range(start, len(IMAGES), BLOCK):
            if self.stop and row + BLOCK > self.rows:
                raise self.stop
            yield IMAGES[row : row + BLOCK]

    def load(self, root: Path, files: tuple[str, ...] = ()) -> str:
        """The hash of the pack."""
        streams = {
            "train": pack.Stream.continuable(IMAGES.shape, "|u1", self.blocks),
            "test": pack.Stream.of(IMAGES[:5]),
            "train_labels": pack.Stream.of(np.arange(len(IMAGES))),
        }
        return pack.load(root, name="half", convention="c", files=files, read=lambda _: streams).sha256()


def left(root: Path) -> Path:
    folder = pack.places(root, "half", "c")[0]
    return folder.with_name(f".{folder.name}.tmp")


def stopped(root: Path, by: BaseException | None = None) -> Path:
    """What an attempt leaves that is stopped after five blocks."""
    with pytest.raises(type(by or KeyboardInterrupt())):
        Half(by or KeyboardInterrupt()).load(root)
    assert (left(root) / "train.npy").stat().st_size == 128 + 20 * 6
    return left(root)


@pytest.fixture
def whole(tmp_path: Path) -> str:
    """The hash of a pack that was made in one go."""
    return Half().load(tmp_path / "whole")


@pytest.mark.parametrize("by", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_pack_goes_on_with_the_same_hash(tmp_path: Path, whole: str, by: BaseException) -> None:
    stopped(tmp_path, by)
    again = Half()
    assert again.load(tmp_path) == whole
    assert again.asked == [20]
    assert [path.suffix for path in (tmp_path / "packed").iterdir() if path.name.startswith(".")] == []
    folder = pack.places(tmp_path, "half", "c")[0]
    assert {path.name for path in folder.iterdir()} == {"train.npy", "test.npy", "train_labels.npy", "meta.json"}
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["arrays"]["train"]["sha256"] == hashlib.sha256(IMAGES.tobytes()).hexdigest()
    np.testing.assert_array_equal(np.load(folder / "train.npy"), IMAGES)


def test_a_pack_may_be_stopped_many_times(tmp_path: Path, whole: str) -> None:
    asked = []
    for rows in (4, 8, 8, 28, 48):
        half = Half(KeyboardInterrupt())
        half.rows = rows
        with pytest.raises(KeyboardInterrupt):
            half.load(tmp_path)
        asked += half.asked
    last = Half()
    assert last.load(tmp_path) == whole
    assert asked + last.asked == [0, 4, 8, 8, 28, 48]


def flip(byte: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = bytearray((folder / "train.npy").read_bytes())
        data[128 + byte] ^= 1
        (folder / "train.npy").write_bytes(data)

    return damage


def cut(name: str, keep: int) -> Callable[[Path], None]:
    """What a power cut may do: the end of a file never arrived."""

    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return damage


def shorten_journal(folder: Path) -> None:
    path = folder / journal.NAME
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("damage", "start"),
    [
        (lambda folder: None, 20),
        (flip(0), 0),
        (flip(19 * 6), 16),
        (flip(9 * 6), 8),  # in the second of two equal blocks: the first stays
        (cut("train.npy", 128 + 13 * 6), 12),
        (cut("train.npy", 128 + 16 * 6), 16),
        (cut("train.npy", 60), 0),
        (lambda folder: (folder / "train.npy").unlink(), 0),
        (shorten_journal, 16),
        (cut(journal.NAME, 0), 0),
        (lambda folder: (folder / journal.NAME).unlink(), 0),
        (lambda folder: (folder / journal.NAME).write_bytes(b"\xff\n"), 0),
        (lambda folder: (folder / "train.npy").open("ab").write(b"half a block that has no line"), 20),
        (lambda folder: (folder / "train.npy").open("ab").write(bytes(1000)), 20),
    ],
)
def test_what_is_damaged_is_made_again_and_the_rest_is_not(tmp_path: Path, whole: str, damage: Callable, start: int) -> None:
    damage(stopped(tmp_path))
    again = Half()
    assert again.load(tmp_path) == whole
    assert again.asked == [start]
    assert (pack.places(tmp_path, "half", "c")[0] / "train.npy").stat().st_size == 128 + N * 6


def test_a_damaged_pack_stopped_again_goes_on_from_the_later_stop(tmp_path: Path, whole: str) -> None:
    flip(9 * 6)(stopped(tmp_path))
    half = Half(KeyboardInterrupt())
    half.rows = 42
    with pytest.raises(KeyboardInterrupt):
        half.load(tmp_path)
    again = Half()
    assert again.load(tmp_path) == whole
    assert (half.asked, again.asked) == ([8], [40])


def test_each_array_goes_on_by_itself(tmp_path: Path) -> None:
    def load(train: Half, test: Half) -> str:
        streams = {name: pack.Stream.continuable(IMAGES.shape, "|u1", of.blocks) for name, of in (("train", train), ("test", test))}
        return pack.load(tmp_path, name="half", convention="c", files=(), read=lambda _: streams).sha256()

    with pytest.raises(KeyboardInterrupt):
        load(Half(), Half(KeyboardInterrupt()))
    train, test = Half(), Half()
    found = load(train, test)
    assert (train.asked, test.asked) == ([50], [20])
    np.testing.assert_array_equal(np.load(pack.places(tmp_path, "half", "c")[0] / "test.npy"), IMAGES)
    assert len(found) == 64


def test_half_a_pack_of_other_files_is_not_continued(tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(b"one")
    with pytest.raises(KeyboardInterrupt):
        Half(KeyboardInterrupt()).load(tmp_path, ("raw.bin",))
    raw.write_bytes(b"two")
    again = Half()
    again.load(tmp_path, ("raw.bin",))
    assert again.asked == [0]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UserError("a bad image")])
def test_a_full_disk_or_a_bad_image_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(UserError, match=r"No space left on device; it takes 0\.0 MB; make room|a bad image"):
        Half(error).load(tmp_path)
    assert not left(tmp_path).exists()


@pytest.mark.parametrize(("error", "says"), [(BrokenProcessPool("died"), "a worker process was killed"), (MemoryError(), "no memory left")])
def test_what_memory_stopped_is_kept_and_said(tmp_path: Path, whole: str, error: Exception, says: str) -> None:
    with pytest.raises(UserError, match=f"cannot pack half in .*: {says}.*; what is done is kept, the same command goes on"):
        Half(error).load(tmp_path)
    again = Half()
    assert again.load(tmp_path) == whole
    assert again.asked == [20]


def test_what_cannot_be_continued_leaves_nothing(tmp_path: Path) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield IMAGES[:30]
        raise KeyboardInterrupt

    streams = {name: pack.Stream(IMAGES.shape, "|u1", blocks()) for name in ("train", "test")}
    with pytest.raises(KeyboardInterrupt):
        pack.load(tmp_path, name="half", convention="c", files=(), read=lambda _: streams)
    assert not left(tmp_path).exists()


MANY = (0, 0, 0, 0, 2) * 24
SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, "tests/support")
from small_celeba import load
from bench.datasets.storage import celeba_files as faces
from bench.datasets.storage import decoding
from bench.datasets.storage.journal import Journal
from bench.errors import UserError
faces.BLOCK_BYTES, decoding.cores = 3 * 64 * 64, lambda: 2
root, add = Path(sys.argv[1]), Journal.add
def wait(self, *block):
    add(self, *block)
    while len(self.blocks) == 24 and not (root / "go").exists():
        time.sleep(0.01)
Journal.add = wait
try:
    print(load(root, splits=(0, 0, 0, 0, 2) * 24).sha256())
except UserError as error:
    print(error)
"""


def start(root: Path) -> subprocess.Popen[str]:
    """Packing by two workers, one image a block, in a process group of its own; it waits when 24 are done, until `go` is there."""
    command = [sys.executable, "-c", SLOW, str(root)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[4], stdout=subprocess.PIPE, text=True, start_new_session=True)


def rows_done(root: Path) -> int:
    folder = packed_folder(root)
    return len(journal.whole_lines(folder.with_name(f".{folder.name}.tmp") / journal.NAME)) - 1


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A data root with the folder of 120 images."""
    put(tmp_path / "a", archive=False, images=dict.fromkeys(names(len(MANY)), encoded(photo(1))), splits=MANY)
    return tmp_path / "a"


def finish(root: Path) -> str:
    """Pack again where the images that are done cannot be decoded any more; the hash."""
    done, images = rows_done(root), root / "celeba" / "img_align_celeba"
    assert 24 <= done < len(MANY)
    lists = celeba.chosen(small(splits=MANY), root / "celeba" / "list_eval_partition.txt")
    for name in [*lists["train"], *lists["test"]][:done]:
        (images / name).write_bytes(b"not to be decoded again")
    return load(root, splits=MANY).sha256()


def test_a_killed_packing_goes_on_and_its_workers_end(tmp_path: Path, many: Path) -> None:
    process = start(many)
    until(lambda: rows_done(many) == 24, "24 images")
    assert len([pid for pid in pids() if group_of(pid) == process.pid]) >= 3  # it, and its workers
    process.kill()  # SIGKILL, to it alone
    assert process.communicate(timeout=120)[0] == ""
    until(lambda: process.pid not in map(group_of, pids()), "its workers' end", 60)
    put(tmp_path / "b", images=dict.fromkeys(names(len(MANY)), encoded(photo(1))), splits=MANY)
    assert finish(many) == load(tmp_path / "b", splits=MANY).sha256()


def test_a_killed_worker_is_said_and_the_packing_goes_on(many: Path) -> None:
    process = start(many)
    until(lambda: rows_done(many) == 24, "24 images")
    workers = [pid for pid in pids() if group_of(pid) == process.pid and b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    (many / "go").touch()
    said = process.communicate(timeout=120)[0]
    assert "a worker process was killed, perhaps for memory; what is done is kept, the same command goes on" in said
    finish(many)


BOUNDED = """
import resource, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, "tests/support")
from small_celeba import load
from bench.datasets.storage import celeba_files as faces
from bench.datasets.storage import decoding, pack
pack.SMALL, faces.BLOCK_BYTES = 0, 2**20
decoding.cores = lambda: 1
load(Path(sys.argv[1]), "celeba128", (0, 0, 2))  # whatever the first image takes is taken before the limit
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + 12 * 2**20,) * 2)
train = load(Path(sys.argv[2]), "celeba128", (0,) * (int(sys.argv[3]) - 1) + (2,)).train
print(train.nbytes)
try:
    np.array(train)
except MemoryError:
    print("more than there is")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA as Linux has it")
def test_packing_takes_memory_that_does_not_depend_on_the_number_of_images(tmp_path: Path) -> None:
    number, content = 600, encoded(Image.new("RGB", faces.ALIGNED, "teal"))
    put(tmp_path / "first", splits=(0, 0, 2))
    put(tmp_path / "many", images=dict.fromkeys(names(number), content), splits=(0,) * (number - 1) + (2,))
    command = [sys.executable, "-c", BOUNDED, str(tmp_path / "first"), str(tmp_path / "many"), str(number)]
    run = subprocess.run(command, cwd=Path(__file__).parents[4], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{(number - 2) * 3 * 128 * 128}\nmore than there is\n"
