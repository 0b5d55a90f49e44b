"""`data list | fetch | verify | pack`, with a web server on this machine and without a network."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from quiet_server import Quiet
from small_mnist import FAMILY, NAMES, card, check, packed_folder, put, read_only

from bench.commands import data
from bench.datasets import digits, mnist
from bench.datasets.dataset import Source
from bench.datasets.storage import raw
from bench.datasets.storage.packaged import PACKAGES, Package
from bench.errors import UserError


def test_list_says_what_is_there(tmp_path: Path) -> None:
    assert data.state(card(), tmp_path) == ("missing", "-", str(tmp_path / "MNIST" / "raw"))
    put(tmp_path)
    rows = data.rows([digits.DATASETS[0], card()], tmp_path)
    assert rows[0] == ("digits", "real", "1x8x8", "1,437", "360", "CC BY 4.0", "-", "0.1 MB", "built in", "-", "-")
    facts = ("mnist", "real", "1x28x28", "12", "5", "CC BY-SA 3.0", "12 MB", "0.01 MB")
    assert rows[1] == (*facts, "present", "good", str(tmp_path / "MNIST" / "raw"))
    assert len(rows[0]) == len(data.HEADERS)
    mnist.load(FAMILY, tmp_path)
    assert data.state(card(), tmp_path) == ("packed", "good", str(packed_folder(tmp_path)))


def test_verify_of_a_built_in_set_compares_it_with_its_card(tmp_path: Path) -> None:
    said = "digits: built in, 1,437 + 360 images, sha256 6731c3d5ee47927f"
    assert data.verify(digits.DATASETS[0], tmp_path) == said
    with pytest.raises(UserError, match="its card says"):
        data.verify(replace(digits.DATASETS[0], counts={"train": 1, "test": 1}), tmp_path)
    assert data.fetch(digits.DATASETS[0], tmp_path) == "digits: nothing to fetch, it needs no files"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address is behind a proxy that refuses connections."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.parametrize("source", [mnist.DATASETS[0], mnist.DATASETS[2]], ids=lambda source: source.name)
def test_fetch_without_a_network_says_what_to_do(tmp_path: Path, no_network: None, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = source.name in PACKAGES
    if packaged:
        monkeypatch.setitem(PACKAGES, source.name, PACKAGES[source.name]._replace(folder=tmp_path / "not installed"))
    folder = (tmp_path / "new" / source.files[0]).parent
    with pytest.raises(UserError) as caught:
        data.fetch(source, tmp_path / "new")
    said = str(caught.value)
    assert said.startswith(f"cannot fetch {source.name}: train-images-idx3-ubyte.gz: ")
    way = "; or install Debian's package dataset-fashion-mnist and fetch again" if packaged else ""
    assert said.endswith(f"take them from {source.url} and put them in {folder}{way}")
    assert "\n" not in said
    assert not (tmp_path / "new").exists()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """torchvision's mirror for the small files: a web server on this machine and the folder it shows."""
    import torchvision

    shown = put(tmp_path / "server")
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shown))) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(shown.iterdir())]
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{httpd.server_port}/"])
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        yield shown
        httpd.shutdown()


def test_fetch_downloads_into_torchvisions_layout(tmp_path: Path, server: Path) -> None:
    root = tmp_path / "root"
    folder = root / "MNIST" / "raw"
    assert data.fetch(card(), root) == f"mnist: fetched into {folder}, checksums good"
    assert {path.name for path in folder.iterdir()} == {f"{name}.gz" for name in NAMES}
    check(mnist.load(FAMILY, root))
    for path in server.iterdir():  # the second time nothing is downloaded
        path.unlink()
    assert data.fetch(card(), root) == f"mnist: already in {folder}, checksums good"


def test_fetch_replaces_a_damaged_file(tmp_path: Path, server: Path) -> None:
    path = put(tmp_path / "root") / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:100])
    data.fetch(card(), tmp_path / "root")
    check(mnist.load(FAMILY, tmp_path / "root"))


def test_a_download_of_something_else_does_not_enter_the_data_root(tmp_path: Path, server: Path) -> None:
    path = server / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"cannot fetch mnist: {NAMES[0]}\.gz: what http://.* sent has md5 [0-9a-f]+, expected"):
        data.fetch(card(), tmp_path / "root")
    assert {f"{name}.gz" for name in NAMES[2:]} == {
        path.name for path in (tmp_path / "root" / "MNIST" / "raw").iterdir()
    }  # the good ones stay


def test_what_satisfies_the_mirrors_checksum_must_satisfy_ours(tmp_path: Path, server: Path) -> None:
    wrong = replace(FAMILY.files[0], sha256="0" * 64)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is damaged .*expected sha256 .unpacked. 0000"):
        mnist.fetch(replace(FAMILY, files=(wrong, *FAMILY.files[1:])), tmp_path / "root")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package of this system that has the small files."""
    folder = put(tmp_path / "package")
    monkeypatch.setitem(PACKAGES, "mnist", Package("the package small-mnist", folder))
    return folder


def test_fetch_copies_what_a_package_of_the_system_has(tmp_path: Path, installed: Path, no_network: None) -> None:
    folder = tmp_path / "root" / "MNIST" / "raw"
    said = data.fetch(card(), tmp_path / "root")
    assert said == f"mnist: copied into {folder} from {installed}, the package small-mnist, checksums good"
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["MNIST"], "nothing temporary is left"
    check(mnist.load(FAMILY, tmp_path / "root"))


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(path.read_bytes()[:-9]), Path.unlink], ids=["damaged", "incomplete"])
def test_a_package_that_is_not_sound_is_no_source(tmp_path: Path, installed: Path, server: Path, spoil: Callable[[Path], object]) -> None:
    spoil(installed / f"{NAMES[0]}.gz")
    assert data.fetch(card(), tmp_path / "root") == f"mnist: fetched into {tmp_path / 'root' / 'MNIST' / 'raw'}, checksums good"
    check(mnist.load(FAMILY, tmp_path / "root"))


def test_a_package_is_not_copied_into_a_read_only_root(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "root").mkdir()
    with read_only(tmp_path / "root"), pytest.raises(UserError, match="is not a writable folder; choose another with --data-root"):
        data.fetch(card(), tmp_path / "root")


def test_fetch_into_a_read_only_root(tmp_path: Path) -> None:
    with read_only(tmp_path), pytest.raises(UserError, match="is not a writable folder; choose another with --data-root"):
        data.fetch(mnist.DATASETS[0], tmp_path / "data")


def test_writable(tmp_path: Path) -> None:
    assert raw.writable(tmp_path / "not" / "yet" / "there")
    (tmp_path / "file").touch()
    assert not raw.writable(tmp_path / "file" / "below")
    with read_only(tmp_path):
        assert not raw.writable(tmp_path / "not" / "yet" / "there")
