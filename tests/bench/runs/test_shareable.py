"""Which runs several processes can share, and what is said of one that they cannot."""

import pytest
from small_methods import build, images, noise, tiny, tiny_with_batch_norm
from torch import Tensor, nn

from bench.runs.shareable import look_at_networks, networks_of
from bench.training.team import Team
from models.assembly import MismatchError
from models.networks.network import Network, Pair
from models.networks.stacked import stacked_mlp
from models.stacked import stacked_wae
from models.wae import wae_mmd


class Centred(nn.Module):
    """Rows see each other."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def behind(layer: nn.Module) -> Network:
    """A tiny network whose decoder begins with that layer."""

    def network(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
        encoder, decoder = tiny(shape, dim, outputs)
        return encoder, nn.Sequential(layer, decoder)

    return network


@pytest.mark.parametrize(
    "network", [tiny, tiny_with_batch_norm, behind(nn.LayerNorm(3)), behind(nn.BatchNorm1d(3, track_running_stats=False))]
)
def test_networks_that_keep_rows_apart_are_shared(network: Network) -> None:
    method = build(lambda: wae_mmd(3), network=network)
    look_at_networks(method, images(4), noise(), Team(0, 2))
    assert list(networks_of(method)) == ["encoder", "decoder"]


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), Centred()], ids=["dropout", "mixed rows"])
def test_others_are_named(layer: nn.Module) -> None:
    method = build(lambda: wae_mmd(3), network=behind(layer))
    with pytest.raises(MismatchError, match=r"^decoder$"):
        look_at_networks(method, images(4), noise(), Team(0, 2))


def test_networks_of_a_hierarchy_are_its_levels() -> None:
    method = build(lambda: stacked_wae(2), network=stacked_mlp, shape=(1, 8, 8), dim=2)
    assert {name.partition(".")[0] for name in networks_of(method)} == {"encoders", "generators"}
