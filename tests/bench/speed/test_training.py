"""`python -m bench speed`: the implementations do the same work, its page says what was measured, a missing peer is said and skipped."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from harness import cli

from bench.datasets.batches import generator
from bench.speed import page as speed_page
from bench.speed import peers
from bench.speed import training as speed
from metrics.divergences import gaussian_kl, imq, mmd
from models.method import Recipe
from models.vae import vae_gauss
from models.wae import wae_mmd

IMAGES = torch.randint(0, 256, (300, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def method_of(work: speed.Work, recipe: Recipe) -> object:
    torch.manual_seed(0)
    return recipe.assemble((1, 28, 28), work.dim, work.network)


def test_the_bare_loops_losses_are_the_methods_own() -> None:
    x = IMAGES[:100].float().div(255)
    encoder, decoder = speed.WORKS[0].pair()
    torch.manual_seed(1)
    bare = peers.wae_mmd_loss(10.0)(encoder, decoder, x)
    torch.manual_seed(1)
    z, prior = encoder(x), torch.randn(100, 2)
    sse = (x - decoder(z).sigmoid()).square().flatten(1).sum(1).mean()
    assert bare.item() == pytest.approx((sse + 10 * mmd(prior, z, 4.0, imq)).item(), rel=1e-5)
    method = method_of(speed.WORKS[0], wae_mmd(2))
    terms = method.terms(x, generator(torch.device("cpu"), 0))  # type: ignore[attr-defined]
    assert terms["reconstruction"].item() == pytest.approx(sse.item(), rel=1e-6)  # the same networks, too


def test_the_bare_vae_is_the_methods_own() -> None:
    work, x = speed.WORKS[1], IMAGES[:100].float().div(255)
    encoder, decoder = work.pair()
    torch.manual_seed(3)
    bare = peers.vae_loss(encoder, decoder, x)
    mean, log_variance = encoder(x).chunk(2, dim=1)
    torch.manual_seed(3)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    cost = vae_gauss(2).cost(x, decoder(z)).mean()
    assert bare.item() == pytest.approx((cost + gaussian_kl(mean, log_variance).mean()).item(), rel=1e-5)


@pytest.mark.parametrize("name", [speed.OURS, speed.BARE, speed.WITHOUT, speed.PEER])
def test_every_way_trains(name: str) -> None:
    if name == speed.PEER and (why := peers.absent()):
        pytest.skip(why)
    work, seen = speed.WORKS[0], []
    pair = work.pair()
    original = speed.Work.pair
    try:
        speed.Work.pair = lambda self: pair  # type: ignore[method-assign]
        implementation = speed.implementations(work, IMAGES.repeat(14, 1, 1, 1), (name,))[name]
        before = [p.detach().clone() for p in pair[0].parameters()]
        implementation()
        seen = [torch.equal(p, q) for p, q in zip(pair[0].parameters(), before, strict=True)]
    finally:
        speed.Work.pair = original  # type: ignore[method-assign]
    assert any(seen) == (name == speed.OURS)  # whose networks are its own, from the same seed


def test_the_command_writes_a_page_and_a_file(tmp_path: Path) -> None:
    result = cli("speed", "--quick", "--device", "cpu", "--out", tmp_path, "--data-root", tmp_path)
    assert result.code == 0
    page = (tmp_path / "leaderboards" / "speed.md").read_text(encoding="utf-8")
    said = json.loads((tmp_path / "leaderboards" / "speed.json").read_text(encoding="utf-8"))
    assert "digits of scikit-learn enlarged to 28×28 (MNIST is not in the data root)" in page
    (compared,) = said["training"]
    assert compared["implementations"]["bare loop"]["over_bare"] == 1
    assert compared["implementations"]["latentbench"]["images_per_second"] == pytest.approx(
        1e5 / compared["implementations"]["latentbench"]["ms"]
    )
    assert (peers.absent() is None) == ("pythae" in compared["implementations"]) == (not said["skipped"])
    assert len(said["growth"]) == 5
    assert [compared["reference"] for compared in said["evaluation"]["comparisons"]] == ["latentbench", "torch-fidelity", "DataLoader"]
    assert all(len(compared["implementations"]) >= 2 for compared in said["evaluation"]["comparisons"])
    assert "evaluation: reading images" in result.err
    assert page in result.out
    assert page == speed_page.markdown(said)


def test_a_missing_peer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "pythae" else find_spec(name))
    assert peers.absent() == "pythae is not installed; it comes with the extra `peers`"
    monkeypatch.setattr(speed, "evaluation", lambda *_: {"versions": {}, "comparisons": [], "seconds": 0.0})
    settings = speed.Settings("cpu", 1, tmp_path, rounds=1, slow_rounds=1, quick=True)
    result = speed.measure(settings, lambda text: None)
    assert "Not compared: pythae is not installed" in speed_page.markdown(result)
    assert "pythae" not in result["training"][0]["implementations"]
