"""latentbench from Python: what is loaded is what was trained and measured, and mistakes are one line."""

import builtins
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import folder
from harness import suite
from torch import Tensor

from bench import api
from bench.errors import UserError
from bench.registry import catalogue
from bench.runs.card import read_card

ROWS = """
[methods.ae]
[methods.ae.density]
model = "gaussian"
[methods.vae_bernoulli]
[methods.dvcae]
[methods.wae_mmd]
"""
METRICS = ["rec_sse_test", "rec_sse_test_mean_code", "frechet_pixels_pz"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished runs of a small suite."""
    path = tmp_path_factory.mktemp("api")
    found = api.run(suite(path, ROWS, steps=60, metrics=METRICS), out=path / "out", data_root=path)
    assert [(record["label"], record["status"]) for record in found] == [
        (row, "done") for row in ("ae", "vae_bernoulli", "dvcae", "wae_mmd")
    ]
    return path / "out"


def held_out() -> Tensor:
    """The test images of digits."""
    digits = catalogue().get("dataset", "digits").load(Path())
    return torch.from_numpy(digits.test) / digits.levels


IMAGES = held_out()


@pytest.mark.parametrize("row", ["ae", "vae_bernoulli", "dvcae", "wae_mmd"])
def test_reconstructions_have_the_error_that_was_recorded(out: Path, row: str) -> None:
    trained = api.load(f"tiny/{row}", out=out)
    (record,) = [record for record in api.records("tiny", out=out) if record["label"] == row]
    error = (IMAGES - trained.reconstruct(IMAGES)).double().square().flatten(1).sum(1).mean().item()
    assert error == pytest.approx(record["metrics"]["rec_sse_test_mean_code"]["value"], rel=1e-5)


def test_a_run_is_named_by_folder_file_record_or_row(out: Path, tmp_path: Path) -> None:
    (file,) = out.glob("runs/tiny/ae/*/weights.safetensors")
    shutil.copy(file, tmp_path / "moved.safetensors")
    (record,) = [record for record in api.records("tiny", out=out) if record["label"] == "ae"]
    ways: list[Any] = [file.parent, str(file.parent), file, tmp_path / "moved.safetensors", record, "tiny/ae", "tiny/ae/0"]
    codes = [api.load(way, out=out).encode(IMAGES[:5]) for way in ways]
    assert all(torch.equal(codes[0], other) for other in codes)


def test_codes_images_and_paths_have_the_shapes_that_are_said(out: Path) -> None:
    trained = api.load("tiny/vae_bernoulli", out=out)
    assert (trained.shape, trained.dim) == ((1, 8, 8), 2)
    codes = trained.encode(IMAGES)
    assert codes.shape == (360, 2)
    assert codes.dtype == torch.float32
    assert not codes.requires_grad
    assert not trained.method.training  # type: ignore[attr-defined]
    assert trained.decode(codes[:7]).shape == (7, 1, 8, 8)
    assert trained.decode(codes[:0]).shape == (0, 1, 8, 8)
    assert trained.encode(IMAGES[:0]).shape == (0, 2)
    path = trained.interpolate(IMAGES[0], IMAGES[1], steps=5)
    assert path.shape == (5, 1, 8, 8)
    torch.testing.assert_close(path[[0, 4]], trained.reconstruct(IMAGES[:2]))
    torch.testing.assert_close(path[2], trained.decode(codes[:2].mean(0, keepdim=True))[0])


def test_many_images_go_through_in_batches(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = api.load("tiny/vae_bernoulli", out=out)
    whole, samples = trained.reconstruct(IMAGES), trained.sample(25, seed=3)
    monkeypatch.setattr(api, "BATCH", 100)
    torch.testing.assert_close(trained.reconstruct(IMAGES), whole)
    monkeypatch.setattr(api, "BATCH", 10)
    assert trained.sample(25, seed=3).shape == samples.shape


def test_a_seed_gives_one_draw_of_the_posterior(out: Path) -> None:
    trained = api.load("tiny/vae_bernoulli", out=out)
    mean, draw, again, other = (trained.encode(IMAGES, seed=seed) for seed in (None, 1, 1, 2))
    assert torch.equal(draw, again)
    assert not torch.equal(draw, other)
    many = torch.stack([trained.encode(IMAGES[:20], seed=seed) for seed in range(300)])
    spread = many.std(0)
    assert ((many.mean(0) - mean[:20]).abs() < 5 * spread / 300**0.5).all()


def test_samples_are_of_the_fitted_density_or_the_prior(out: Path) -> None:
    fitted, prior = api.load("tiny/ae", out=out), api.load("tiny/wae_mmd", out=out)
    assert fitted.density is not None
    assert prior.density is None
    for trained in (fitted, prior):
        assert torch.equal(trained.sample(9, seed=1), trained.sample(9, seed=1))
        assert not torch.equal(trained.sample(9, seed=1), trained.sample(9, seed=2))
    with pytest.raises(UserError, match="dvcae has no prior, and no density was fitted to its codes"):
        api.load("tiny/dvcae", out=out).sample(1)
    codes = torch.cat([fitted.density.sample(5000, torch.Generator().manual_seed(0)), fitted.encode(IMAGES)])
    torch.testing.assert_close(codes[:5000].mean(0), codes[5000:].mean(0), atol=0.5, rtol=0.2)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES[0], r"images must have the shape \(N, 1, 8, 8\), not \(1, 8, 8\)"),
        (IMAGES[:, :, :4], r"images must have the shape \(N, 1, 8, 8\), not \(360, 1, 4, 8\)"),
        ((255 * IMAGES).byte(), r"images must be floats in \[0, 1\], not torch.uint8: divide bytes by 255"),
        (16 * IMAGES, r"images must have values in \[0, 1\], not from 0 to 16"),
        (IMAGES * torch.nan, "images must have values in"),
    ],
)
def test_images_of_another_kind_are_refused(out: Path, images: Tensor, said: str) -> None:
    with pytest.raises(UserError, match=said):
        api.load("tiny/ae", out=out).encode(images)


def test_other_mistakes_are_one_line(out: Path, tmp_path: Path) -> None:
    trained = api.load("tiny/ae", out=out)
    mistakes: list[tuple[Any, str]] = [
        (lambda: trained.decode(torch.zeros(2, 3)), r"codes must have the shape \(N, 2\), not \(2, 3\)"),
        (lambda: trained.sample(0), "n must be at least 1"),
        (lambda: trained.interpolate(IMAGES[0], IMAGES[1], steps=1), "steps must be at least 2"),
        (lambda: api.load("tiny/aee", out=out), "unknown run 'tiny/aee'; did you mean 'tiny/ae'"),
        (lambda: api.load("tiny/ae/7", out=out), "unknown seed '7'; known: 0"),
        (lambda: api.load(tmp_path), "weights.safetensors: no such file"),
        (lambda: api.load("tiny/ae", out=out, device="gpu"), "--device must be cpu or cuda, not 'gpu'"),
        (lambda: api.records("nothing", out=out), "nothing.jsonl: no records"),
        (lambda: api.run("digts", out=out), "unknown suite 'digts'; did you mean 'digits'"),
        (lambda: api.run("digits", log=("tensorbord",), out=out), "unknown tracker 'tensorbord'; did you mean 'tensorboard'"),
    ]
    for call, said in mistakes:
        with pytest.raises(UserError, match=said):
            call()
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"no\.safetensors: no file of weights"):
        api.load(tmp_path / "no.safetensors")


def test_records_become_a_table(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = api.records(out / "leaderboards" / "runs" / "tiny.jsonl")
    assert found == api.records("tiny", out=out)
    table = pytest.importorskip("pandas") and found.to_pandas()
    assert list(table["label"]) == [record["label"] for record in found]
    assert table["rec_sse_test"].tolist() == [record["metrics"]["rec_sse_test"]["value"] for record in found]
    assert {"suite", "seed", "status", "method", "dataset", "network", "latent_dim", "steps", "train_seconds"} <= set(table.columns)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"^to_pandas\(\) needs pandas: pip install pandas$"):
        found.to_pandas()


def test_images_are_measured_from_python(tmp_path: Path) -> None:
    folder(tmp_path / "a", 30)
    folder(tmp_path / "b", 30, first=100)
    same, other = (api.measure(tmp_path / "a", tmp_path / of, networks=("pixels",), data_root=tmp_path)["metrics"] for of in "ab")
    assert same["frechet_pixels"]["value"] == 0
    assert other["frechet_pixels"]["value"] > 10
    with pytest.raises(UserError, match="give WHAT, or both --originals and --reconstructions"):
        api.measure()


def test_a_run_leaves_torch_as_it_was(tmp_path: Path) -> None:
    torch.set_float32_matmul_precision("high")
    threads = torch.get_num_threads()
    heard = []
    try:
        api.run(suite(tmp_path, "[methods.ae]\n", steps=2), out=tmp_path / "out", data_root=tmp_path, watch=heard.append)
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_num_threads() == threads
    finally:
        torch.set_float32_matmul_precision("highest")
    assert heard[-1].status == "done"


def float32() -> dict[str, object]:
    """What torch takes for float32, by its older and its newer settings; the older ones are not readable where these differ."""
    newer = {"matmul": torch.backends.cuda.matmul, "conv": torch.backends.cudnn.conv, "rnn": torch.backends.cudnn.rnn}
    found: dict[str, object] = {name: of.fp32_precision for name, of in newer.items()}
    older = {"products": torch.get_float32_matmul_precision, "convolutions": lambda: torch.backends.cudnn.allow_tf32}
    for name, setting in older.items():
        try:
            found[name] = setting()
        except RuntimeError:
            found[name] = None
    return found


def allow_by_older_settings() -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True


def allow_by_newer_settings() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "tf32"


@pytest.fixture(params=[allow_by_older_settings, allow_by_newer_settings])
def tf32(request: pytest.FixtureRequest) -> Iterator[dict[str, object]]:
    """A program whose products and convolutions may be in TF32; -> its settings."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    request.param()
    assert "tf32" in float32().values()
    yield float32()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def noting(of: Callable[..., Any], seen: list[dict[str, object]]) -> Callable[..., Any]:
    """A function that notes what torch takes for float32 when it is called."""

    def noted(*arguments: Any, **named: Any) -> Any:
        seen.append(float32())
        return of(*arguments, **named)

    return noted


def check_full(seen: list[dict[str, object]]) -> None:
    assert seen
    for settings in seen:
        assert (settings["products"], settings["convolutions"]) == ("highest", False)
        assert "tf32" not in settings.values()


def test_what_is_loaded_computes_without_tf32(out: Path, tf32: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    trained, seen = api.load("tiny/ae", out=out), list[dict[str, object]]()
    monkeypatch.setattr(trained.method, "draw", noting(trained.method.draw, seen))
    monkeypatch.setattr(trained.method, "decode", noting(trained.method.decode, seen))
    monkeypatch.setattr(trained.density, "sample", noting(trained.density.sample, seen))  # type: ignore[union-attr]
    for call in (lambda: trained.reconstruct(IMAGES[:3]), lambda: trained.interpolate(*IMAGES[:2]), lambda: trained.sample(2)):
        call()
        assert float32() == tf32
    assert len(seen) == 6
    check_full(seen)
    with pytest.raises(UserError):
        trained.sample(0)
    assert float32() == tf32


def test_what_is_measured_from_python_is_without_tf32(tmp_path: Path, tf32: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "a", 30)
    seen = list[dict[str, object]]()
    monkeypatch.setattr(api, "measured", noting(api.measured, seen))
    threads = torch.get_num_threads()
    api.measure(tmp_path / "a", tmp_path / "a", networks=("pixels",), data_root=tmp_path)
    check_full(seen)
    assert (float32(), torch.get_num_threads()) == (tf32, threads)


def test_a_card_says_what_the_weights_are_of(out: Path) -> None:
    (file,) = out.glob("runs/tiny/vae_bernoulli/*/weights.safetensors")
    (record,) = [record for record in api.records("tiny", out=out) if record["label"] == "vae_bernoulli"]
    card = read_card(file)
    assert card is not None
    assert {name: card[name] for name in ("suite", "label", "seed", "key", "config", "trained_by")} == {
        name: record[name] for name in ("suite", "label", "seed", "key", "config", "trained_by")
    }
    assert card["hashes"] == record["hashes"]
    assert card["metrics"] == {name: record["metrics"][name]["value"] for name in METRICS[:2]}
    assert (card["shape"], card["values"]) == ([1, 8, 8], "unit")


def test_weights_of_a_folder_are_loaded_where_the_folder_is_not(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 20, (32, 24))
    file = suite(tmp_path, "[methods.vae_gauss]\n", steps=2, metrics=["rec_sse_test"])
    text = file.read_text(encoding="utf-8").replace('"digits"', '"folder:photos"').replace("batch_size = 100", "batch_size = 8")
    file.write_text(text.replace('"mlp"', '"auto"'), encoding="utf-8")
    api.run(file, out=tmp_path / "out", data_root=tmp_path)
    before = api.load("tiny/vae_gauss", out=tmp_path / "out").sample(3)
    shutil.rmtree(tmp_path / "photos")
    weights = shutil.copy(next((tmp_path / "out").glob("runs/tiny/*/*/weights.safetensors")), tmp_path / "w.safetensors")
    assert torch.equal(api.load(weights, out=tmp_path / "nowhere").sample(3), before)
