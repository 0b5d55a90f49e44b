"""Every kind of raw file damaged in every way: one line that names the file, from loading and from verifying, and nothing is written."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import small_celeba
import small_mnist
from scipy.io import savemat

from bench.commands import data
from bench.datasets import dsprites, mnist, shapes3d, svhn
from bench.datasets.dataset import Source
from bench.datasets.storage import raw
from bench.errors import UserError


class Kind(NamedTuple):
    """A kind of raw file: how one is put under a data root, and the card of its dataset."""

    put: Callable[[Path], Path]
    card: Source


def cards(sources: list[Source], name: str) -> Source:
    return next(source for source in sources if source.name == name)


def idx(root: Path) -> Path:
    return small_mnist.put(root, "") / small_mnist.NAMES[0]


def packed_idx(root: Path) -> Path:
    return small_mnist.put(root) / f"{small_mnist.NAMES[0]}.gz"


def labels(root: Path) -> Path:
    return small_mnist.put(root) / f"{small_mnist.NAMES[1]}.gz"


def npz(root: Path) -> Path:
    path = root / dsprites.FILES[0]
    path.parent.mkdir(parents=True)
    np.savez_compressed(path, imgs=np.zeros((50, 64, 64), np.uint8), latents_classes=np.zeros((50, 6), np.int64))
    return path


def h5(root: Path) -> Path:
    path = root / shapes3d.FILES[0]
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = np.zeros((10, 64, 64, 3), np.uint8), np.zeros((10, 6))
    return path


def mat(root: Path) -> Path:
    folder = root / svhn.FOLDER
    folder.mkdir(parents=True)
    for file in svhn.SVHN.files:
        savemat(folder / file.name, {"X": np.zeros((32, 32, 3, 5), np.uint8), "y": np.ones((5, 1), np.uint8)})
    return folder / svhn.SVHN.files[0].name


def archive(root: Path) -> Path:
    return small_celeba.put(root)


def listing(root: Path) -> Path:
    return small_celeba.put(root).with_name("list_eval_partition.txt")


def image(root: Path) -> Path:
    return small_celeba.put(root, archive=False) / "000003.jpg"


KINDS = {
    "idx": Kind(idx, small_mnist.card()),
    "idx.gz": Kind(packed_idx, small_mnist.card()),
    "labels.gz": Kind(labels, small_mnist.card()),
    "npz": Kind(npz, cards(dsprites.DATASETS, "dsprites")),
    "h5": Kind(h5, cards(shapes3d.DATASETS, "shapes3d")),
    "mat": Kind(mat, cards(svhn.DATASETS, "svhn")),
    "zip of images": Kind(archive, small_celeba.card()),
    "list of images": Kind(listing, small_celeba.card()),
    "image in a folder": Kind(image, small_celeba.card()),
}


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def linked_to(target: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(path if target == "itself" else path.with_name(target))

    return link


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": rewritten(lambda content: b""),
    "one byte": rewritten(lambda content: content[:1]),
    "half": rewritten(lambda content: content[: len(content) // 2]),
    "its last bytes gone": rewritten(lambda content: content[:-9]),
    "text": rewritten(lambda content: b"<html>too many downloads</html>\n"),
    "zeros": rewritten(lambda content: bytes(len(content))),
    "its first bytes gone": rewritten(lambda content: content[9:]),
    "a byte of its middle changed": rewritten(
        lambda content: content[: len(content) // 2] + b"\xa5\x5a\xa5" + content[len(content) // 2 + 3 :]
    ),
    "another program's archive": rewritten(gzip.compress),
    "a folder": folder_instead,
    "a link to itself": linked_to("itself"),
    "a link to nothing": linked_to("nothing"),
    "absent": Path.unlink,
}
UNSEEN = {  # what loading cannot see, as a decoder reads it or nothing reads that far, and what verifying does not look into
    "load": {
        ("image in a folder", "its last bytes gone"),
        ("image in a folder", "a byte of its middle changed"),
        ("zip of images", "a byte of its middle changed"),  # it is in an image of the validation split
    },
    "verify": {("image in a folder", damage) for damage in DAMAGE if damage != "absent"},
}


def written(root: Path) -> set[Path]:
    """All but locks, which keep two processes apart."""
    return {path.relative_to(root) for path in root.rglob("*") if path.suffix != ".lock" and path.name != "packed"}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_line_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, damage: str) -> None:
    path, card = KINDS[kind].put(tmp_path), KINDS[kind].card
    if "image" in kind:  # verified against the checksums that the sound files had
        sums = [("id", raw.md5(file), file.name) for file in (tmp_path / "celeba").iterdir() if file.is_file()]
        monkeypatch.setattr("torchvision.datasets.CelebA.file_list", sums)
    DAMAGE[damage](path)
    before = written(tmp_path)
    calls = {"load": card.load, "verify": lambda root: data.verify(card, root)}
    for name, call in calls.items():
        if (kind, damage) in UNSEEN[name]:
            continue
        with pytest.raises(UserError) as caught:
            call(tmp_path)
        said = str(caught.value)
        assert path.name in said
        assert "\n" not in said
        assert written(tmp_path) == before
    assert data.state(card, tmp_path)[0] in ("damaged", "incomplete", "missing", "present", "packed")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_may_not_be_read_is_one_line_with_its_name(tmp_path: Path, kind: str) -> None:
    if not os.geteuid():
        pytest.skip("root reads what nobody may")
    path, card = KINDS[kind].put(tmp_path), KINDS[kind].card
    path.chmod(0)
    for call in (card.load, lambda root: data.verify(card, root)):
        with pytest.raises(UserError, match=f"{path.name}.*(Permission denied)"):
            call(tmp_path)


@pytest.mark.parametrize("name", ["meta.json", "train.npy", "test_labels.npy"])
@pytest.mark.parametrize("damage", [what for what in DAMAGE if what != "a byte of its middle changed"])
def test_a_damaged_pack_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    small_mnist.put(tmp_path)
    mnist.load(small_mnist.FAMILY, tmp_path)
    DAMAGE[damage](small_mnist.packed_folder(tmp_path) / name)
    small_mnist.check(mnist.load(small_mnist.FAMILY, tmp_path))
    assert data.verify(small_mnist.card(), tmp_path).endswith("good")


@pytest.mark.parametrize("damage", [what for what in DAMAGE if what not in ("absent", "a link to nothing", "a link to itself", "a folder")])
def test_a_pack_that_was_stopped_and_whose_journal_is_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    small_mnist.put(tmp_path)
    mnist.load(small_mnist.FAMILY, tmp_path)
    folder = small_mnist.packed_folder(tmp_path)
    left = folder.with_name(f".{folder.name}.tmp")
    shutil.move(folder, left)
    (left / "journal.jsonl").write_text('{"format": 1}\n["train", 3, "abc"]\n["train", "x", 3]\n')
    DAMAGE[damage](left / "journal.jsonl")
    small_mnist.check(mnist.load(small_mnist.FAMILY, tmp_path))
    assert not left.exists()
