"""Runs go to a hub and come back with the same weights, by the real client and a stand-in server; what is no run is refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from harness import suite
from small_hub import Hub, hub

from bench import api
from bench.errors import UserError
from bench.runs.hub import place, pull, push

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    path = tmp_path_factory.mktemp("hub")
    api.run(suite(path, "[methods.vae_bernoulli]\n", steps=20, metrics=["rec_sse_test"]), out=path / "out", data_root=path)
    return path / "out"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", "hf_nothing")
    with hub() as running:
        yield running


def folder(out: Path) -> Path:
    (found,) = out.glob("runs/tiny/vae_bernoulli/*")
    return found


def test_a_run_comes_back_as_it_went(out: Path, server: Hub, tmp_path: Path) -> None:
    address = push(folder(out), "me/digits-vae", private=True, endpoint=server.address)
    assert "me/digits-vae" in address
    assert server.private == {"me/digits-vae": True}
    files = server.repositories["me/digits-vae"]
    assert set(files) == {"README.md", "weights.safetensors", "record.json", "curve.jsonl", "samples.png", "reconstructions.png"}
    assert files["weights.safetensors"] == (folder(out) / "weights.safetensors").read_bytes()
    brought = pull("me/digits-vae", tmp_path, endpoint=server.address)
    assert brought == tmp_path / folder(out).relative_to(out)
    for name in ("weights.safetensors", "record.json", "curve.jsonl"):
        assert (brought / name).read_bytes() == (folder(out) / name).read_bytes()
    assert torch.equal(api.load("tiny/vae_bernoulli", out=tmp_path).sample(4), api.load("tiny/vae_bernoulli", out=out).sample(4))
    assert pull("me/digits-vae", tmp_path, endpoint=server.address) == brought  # again, over the same


def test_the_page_says_what_it_is_of_and_worth(out: Path, server: Hub) -> None:
    push(folder(out), "me/vae", endpoint=server.address)
    page = server.repositories["me/vae"]["README.md"].decode()
    (record,) = api.records("tiny", out=out)
    assert page.startswith("---\nlibrary_name: latentbench\n")
    assert f"| rec_sse_test | {record['metrics']['rec_sse_test']['value']:.6g} |" in page
    assert record["hashes"]["weights"][:16] in page
    assert record["config"]["convention"] in page
    assert "![samples.png](samples.png)" in page


def test_other_weights_are_not_overwritten(out: Path, server: Hub, tmp_path: Path) -> None:
    push(folder(out), "me/vae", endpoint=server.address)
    brought = pull("me/vae", tmp_path, endpoint=server.address)
    (brought / "weights.safetensors").write_bytes(b"mine")
    with pytest.raises(UserError, match="there is such a run already, with other weights"):
        pull("me/vae", tmp_path, endpoint=server.address)
    assert (brought / "weights.safetensors").read_bytes() == b"mine"


def test_what_is_no_run_is_one_line(out: Path, server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the client asks a hub that is not there again and again, here without the half minute of waiting in between
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None}))
    server.repositories["me/other"] = {"model.bin": b"nothing"}
    server.repositories["me/broken"] = {"weights.safetensors": b"nothing", "record.json": b"{}"}
    cases = [
        (lambda: push(tmp_path, "me/vae", endpoint=server.address), "weights.safetensors is not there; only finished runs are pushed"),
        (lambda: push(folder(out), "vae", endpoint=server.address), "'vae' is no repository of a hub; write it as user/name"),
        (
            lambda: pull("me/other", tmp_path, endpoint=server.address),
            "me/other: it has no weights.safetensors; it is no run of latentbench",
        ),
        (lambda: pull("me/broken", tmp_path, endpoint=server.address), "weights.safetensors: no file of weights"),
        (lambda: pull("me/nothing", tmp_path, endpoint=server.address), "cannot pull me/nothing: "),
        (lambda: pull("me/vae", tmp_path, endpoint="http://127.0.0.1:9"), "cannot pull me/vae: "),
    ]
    for call, said in cases:
        with pytest.raises(UserError) as error:
            call()
        assert said in str(error.value)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("runs/**/*"))


@pytest.mark.parametrize(
    "change", [{"suite": "../../etc"}, {"suite": "a/b"}, {"label": "../x"}, {"key": "../../0000000000"}, {"suite": ".."}]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    record = {"suite": "digits", "label": "vae", "seed": 0, "key": "0123456789abcdef"}
    assert place(tmp_path, record, "me/vae") == tmp_path / "runs" / "digits" / "vae" / "0-0123456789abcdef"
    with pytest.raises(UserError, match="are no names of suite, row and key"):
        place(tmp_path, record | change, "me/vae")


def test_no_code_comes_with_a_run(out: Path, server: Hub, tmp_path: Path) -> None:
    push(folder(out), "me/vae", endpoint=server.address)
    server.repositories["me/vae"] |= {"plugin.py": b"raise SystemExit", "weights.pt": b"pickle"}
    brought = pull("me/vae", tmp_path, endpoint=server.address)
    assert {path.suffix for path in brought.iterdir()} <= {".safetensors", ".json", ".jsonl", ".png"}
    assert json.loads((brought / "record.json").read_text())["status"] == "done"
