"""The density of tokens: a mass over all codes, by loops; it learns a law that is known, and samples are codes."""

import itertools
import math

import pytest
import torch
from small_methods import noise, normal
from torch import Tensor

from models.parts.token_density import Tokens, tokens

ENTRIES = torch.tensor([[-1.0, 0.5], [0.0, 0.25], [2.0, -3.0]])
COUNT = 3  # tokens


def codes_of(k: Tensor) -> Tensor:
    return ENTRIES[k].flatten(1)


EVERY = codes_of(torch.tensor(list(itertools.product(range(3), repeat=COUNT))))


def fitted(values: int = 5) -> Tokens:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        density = tokens(2 * COUNT, size=2, values=values, hidden=4)
    density.fit(EVERY, noise())
    return density


def log_mass_by_loops(density: Tokens, code: list[float]) -> float:
    entries, h, total = density.entries.tolist(), [0.0] * density.hidden, 0.0
    used = [i for i, there in enumerate(density.used.tolist()) if there]
    for t in range(COUNT):
        k = entries.index(code[2 * t : 2 * t + 2])
        active = [max(0.0, a + b) for a, b in zip(h, density.bias.tolist(), strict=True)]
        weight, offset = density.weight[t].tolist(), density.offset[t].tolist()
        logits = {i: sum(a * w[i] for a, w in zip(active, weight, strict=True)) + offset[i] for i in used}
        total += logits[k] - math.log(sum(map(math.exp, logits.values())))
        h = [a + b for a, b in zip(h, density.embedding[t, k].tolist(), strict=True)]
    return total


def test_it_is_the_loops_and_sums_to_one() -> None:
    density = fitted()
    with torch.no_grad():
        density.offset.copy_(normal(COUNT, 5, seed=1))
        density.bias.copy_(normal(4, seed=2))
        found = density.log_prob(EVERY)
    assert found.tolist() == pytest.approx([log_mass_by_loops(density, code) for code in EVERY.tolist()], rel=1e-4)
    assert found.exp().sum().item() == pytest.approx(1)
    assert torch.equal(density.loss(EVERY, noise()), -found)


def test_it_learns_a_law_in_which_a_token_follows_from_two_others() -> None:
    """k_3 = k_1 + k_2 mod 3: nine codes of one ninth each, log 9 nats."""
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    codes = codes_of(torch.cat([pairs, pairs.sum(1, keepdim=True) % 3], 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        density = tokens(6, size=2, values=3, hidden=32)
    density.fit(codes, noise())
    optimizer = torch.optim.Adam(density.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        density.loss(codes, noise()).mean().backward()
        optimizer.step()
    assert -density.log_prob(codes).mean().item() == pytest.approx(math.log(9), abs=0.02)
    samples = density.sample(3000, noise(1))
    known = (samples[:, None] == codes).all(2)
    assert known.any(1).float().mean() > 0.98
    assert known.float().mean(0).tolist() == pytest.approx([1 / 9] * 9, abs=0.03)


def test_samples_are_codes_drawn_by_their_mass() -> None:
    density = fitted()
    with torch.no_grad():
        density.offset.copy_(normal(COUNT, 5, seed=3))
        mass = density.log_prob(EVERY).exp()
    shares = (density.sample(20_000, noise(2))[:, None] == EVERY).all(2).float().mean(0)
    assert shares.sum().item() == pytest.approx(1)
    assert (shares - mass).abs().max() < 5 * 0.5 / math.sqrt(20_000)


def test_a_code_with_an_entry_that_no_training_code_has_has_no_mass() -> None:
    density, other = fitted(), EVERY[:2].clone()
    other[1, 0] += 1e-6
    assert density.log_prob(other).isfinite().tolist() == [True, False]
    assert density.loss(other, noise()).isfinite().all()  # it is trained on the nearest code that has


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 4}, "size must divide latent_dim = 6, not 4"),
        ({"values": 1}, "values must be at least 2, not 1"),
        ({"hidden": 0}, "hidden must be at least 1, not 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokens(6, **options)


def test_continuous_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="take 40 values, more than values = 8: they are not discrete"):
        tokens(2, size=1, values=8).fit(normal(20, 2).float(), noise())
