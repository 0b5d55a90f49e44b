"""docs/specification.md: every citation leads to a place in it, and its golden values, weights and step counts are the code's."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from bench import registry
from bench.suites import reader
from metrics.divergences import gaussian_kl, imq, imq7, mmd, rbf, squared_distances
from metrics.latent import capacity_bits, total_variance
from metrics.mixture_bound import mixture_kl_bound
from models.parts.cost import Laplace
from models.parts.mixture import stick_weights
from models.stacked import Rule, RuleName

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
LABELS = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", TEXT, re.MULTILINE)) | set(
    re.findall(r"^\| <a id=\"\w+\"></a>(\w+) \|", TEXT, re.MULTILINE)
)
LABEL = r"[TF]?\d+(?:\.\d+)?"
CITATION = re.compile(rf"SPEC(?:'s|)(?: section)? ({LABEL}(?:(?:, | and ){LABEL})*)|[(;,] ?([TF]\d\d?)\b(?=[;):,])")
CITING = sorted(
    path
    for folder in ("bench", "models", "metrics", "tests", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".toml", ".md", ".c", ".h")
)


def cited(text: str) -> set[str]:
    """The labels that a text cites: "SPEC 1.8, T31" has 1.8 and T31."""
    return {label for match in CITATION.findall(text) for part in match for label in re.findall(LABEL, part)}


def section(number: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(
        r"^#+ ", TEXT.split(f"\n## {number}. ")[-1] if "." not in number else TEXT.split(f"\n### {number} ")[-1], flags=re.MULTILINE
    )[0]


def rows(number: str) -> list[list[str]]:
    """The cells of the tables of a section, without their heads."""
    lines = [line for line in section(number).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def numbers(cell: str) -> list[float]:
    """The numbers of a cell, "−0.17; KL 1.5e-4" as [-0.17, 1.5e-4]."""
    return [float(n.replace("−", "-").replace(",", "")) for n in re.findall(r"[−-]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", cell)]


def test_citations_are_found() -> None:
    assert cited("Eq. 8; SPEC 1.6, T42 and 3.3. With") == {"1.6", "T42", "3.3"}
    assert cited("SPEC section 9's P (F2; curves, F15), no T4x; SPEC 1, Eq. 9") == {"9", "F2", "F15", "1"}


def test_every_citation_has_its_place() -> None:
    found = {path: cited(path.read_text(encoding="utf-8")) for path in CITING}
    assert sum(map(len, found.values())) > 150
    nowhere = [f"{path.relative_to(ROOT)} cites SPEC {label}" for path, labels in found.items() for label in sorted(labels - LABELS)]
    assert nowhere == []


def test_its_own_references_lead_somewhere() -> None:
    assert {"0.1", "1.10", "5.8", "7.2", "11", "T1", "T45", "F1", "F18"} <= LABELS
    assert set(re.findall(r"[Ss]ections? (\d+(?:\.\d+)?)", re.sub(r"VCAE section [\d.]+", "", TEXT))) <= LABELS


def tensor(values: list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


P, Q = tensor([[0, 0], [1, 0], [0, 2]]), tensor([[1, 1], [2, 0], [-1, 0]])
ONE = (tensor([[0]]), tensor([[1]]))
TWO = (tensor([[2], [-2]]), tensor([[1], [1]]))
PAIR = (tensor([[0, 0], [1, -1]]), tensor([[1, 0.25], [0.5, 0.04]]))
APART = (tensor([[20, 20], [20, -20], [-20, 20], [-20, -20]]), torch.full((4, 2), 0.04, dtype=torch.float64))
CROSS = tensor([[1, 0], [-1, 0], [0, 2], [0, -2]])


def bound(means: Tensor, variances: Tensor) -> float:
    return mixture_kl_bound(means, variances.log()).item()


def mean_kl(means: Tensor, variances: Tensor) -> float:
    return gaussian_kl(means, variances.log()).mean().item()


def mixture_kl(means: Tensor, variances: Tensor) -> float:
    """KL of the mixture of two-dimensional Gaussians to N(0, I), by a sum over a grid."""
    axis = torch.arange(-8, 8, 0.02, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    mixture = MixtureSameFamily(Categorical(torch.ones(len(means))), Independent(Normal(means, variances.sqrt()), 1))
    log_q = mixture.log_prob(z)
    return (log_q.exp() * (log_q - Normal(0.0, 1.0).log_prob(z).sum(-1))).sum().item() * 0.02**2


def v_statistic() -> float:
    within = [imq(squared_distances(a, a), 4).mean() for a in (P, Q)]
    return (within[0] + within[1] - 2 * imq(squared_distances(P, Q), 4).mean()).item()


def laplace() -> float:
    cost = Laplace("identity", scale=0.5)
    return cost.log_likelihood(torch.zeros(1, 4), torch.tensor([[0.25, -0.25, 0.5, 0.0]])).item()


GOLDEN: dict[str, Callable[[], list[float]]] = {  # how the quantity's cell in section 9 starts -> the code's values
    "U-statistic MMD²": lambda: [mmd(P, Q, 4).item()],
    "V-statistic": lambda: [v_statistic()],
    "U-statistic, seven scales": lambda: [mmd(P, Q, 4, imq7).item()],
    "U-statistic, RBF": lambda: [mmd(P, Q, 4, rbf).item(), mmd(P, Q, 8, rbf).item()],
    "U-statistic of $P$ with itself": lambda: [mmd(P, P, 4).item()],
    r"$\mathrm{KL}_{UB}$, $N=1": lambda: [bound(*ONE)],
    r"$\mathrm{KL}_{UB}$, $\mu=\pm2": lambda: [bound(*TWO)],
    r"$\mathrm{KL}_{UB}$, $\mu=\{": lambda: [bound(*PAIR), mean_kl(*PAIR), mixture_kl(*PAIR)],
    r"$\mathrm{KL}_{UB}$ minus mean KL": lambda: [bound(*APART) - mean_kl(*APART)],
    "VCAE total variance": lambda: [total_variance(CROSS).item(), CROSS.var(0).sum().item()],
    "Laplace log-likelihood": lambda: [laplace()],
    "stick weights": lambda: list(stick_weights(np.array([3.0, 2, 1]), np.array([4.0, 1, 1]))),
    "capacity": lambda: [capacity_bits(16, 0.05, 16)],
}


def test_every_golden_value_is_computed() -> None:
    assert len(rows("9")) - 1 == len(GOLDEN)


@pytest.mark.parametrize("start", GOLDEN)
def test_a_golden_value_is_the_codes(start: str) -> None:
    (cell,) = (value for quantity, value in rows("9") if quantity.startswith(start))
    printed = re.findall(r"[−-]?\d+\.\d+", cell)
    computed = GOLDEN[start]()
    assert len(printed) == len(computed)
    for text, value in zip(printed, computed, strict=True):
        assert value == pytest.approx(numbers(text)[0], abs=0.51 * 10.0 ** -len(text.partition(".")[2]))


@pytest.mark.parametrize(
    ("data", "name", "rec", "dims"),
    [
        ("MNIST", "mnist", 0.01, (32, 16, 8, 4, 2)),
        ("SVHN", "svhn", 0.5, (512, 256, 128, 64, 32, 16)),
        ("CelebA", "celeba", 0.1, (8192, 6144, 4096, 2048, 1536, 1024, 512, 384, 256, 128)),
    ],
)
def test_the_weights_of_section_4_1(data: str, name: RuleName, rec: float, dims: tuple[int, ...]) -> None:
    (row,) = (row for row in rows("4.1") if row[0] == data)
    top = 1e-4 if data == "MNIST" else numbers(row[3])[0]
    assert [f"{w:.3g}" for w in Rule(name, rec, top)(dims)] == [f"{w:.3g}" for w in (*numbers(row[2]), top)]


STEPS = [  # experiment of section 4, suite, row, of its second stage
    ("WAE MNIST (MMD, GAN)", "mnist", "wae_mmd", False),
    ("WAE CelebA (MMD, GAN)", "celeba-wae", "wae_mmd", False),
    ("VAE CelebA (WAE paper)", "celeba-wae", "vae_gauss", False),
    ("VCAE MNIST: VAE, cWAE, VCAE", "mnist", "vcae+flow", False),
    ("VCAE MNIST: VAE+IAF", "mnist", "vae_iaf", False),
    ("VCAE CelebA: VAE, cWAE, VCAE", "celeba", "cwae+flow", False),
    ("VCAE CelebA: VAE+IAF", "celeba", "vae_iaf", False),
    ("flows, MNIST and CelebA", "celeba", "vcae+flow", True),
    ("3D-Shapes: three TC systems", "shapes3d", "tc_vcae", False),
    ("WiSE-ALE sine (all four methods)", "sine", "wise_ale", False),
    ("WiSE-ALE MNIST", "wise-ale-mnist", "wise_ale", False),
    ("WiSE-ALE CelebA", "celeba-wise-ale", "wise_ale", False),
    ("LaDDer MNIST / Fashion", "ladder-mnist", "ladder", False),
    ("LaDDer MNIST / Fashion", "fashion-ladder", "ladder", False),
    ("LaDDer CelebA", "celeba-ladder", "ladder", False),
    ("StackedWAE MNIST", "stacked-mnist", "stacked_wae", False),
    ("StackedWAE SVHN", "svhn-stacked", "stacked_wae", False),
    ("StackedWAE CelebA", "celeba-stacked", "stacked_wae", False),
]


@pytest.mark.parametrize(("experiment", "name", "label", "second"), STEPS)
def test_the_steps_of_section_4_are_those_of_the_suites(experiment: str, name: str, label: str, second: bool) -> None:
    (cells,) = (row for row in rows("4") if row[0] == experiment)
    suite = reader.read(name)
    (entry,) = (entry for entry in suite.methods if entry.label == label)
    budget = entry.density.budget if second and entry.density else entry.budget or suite.budget
    assert budget is not None
    images = registry.catalogue().datasets[suite.dataset].counts["train"]
    steps = re.sub(r"\(.*?\)", "", cells[3])
    assert budget.total_steps(images, entry.batch_size or suite.batch_size) == numbers(steps)[-1]


def test_the_metrics_of_section_5_1_exist() -> None:
    names = {name for row in rows("5.1")[1:] for cell in re.findall(r"`([\w/]+)`", row[0]) for name in spelled_out(cell)}
    assert names - set(registry.catalogue().metrics) == set()


def spelled_out(cell: str) -> list[str]:
    """`rec_sse_train/test` is rec_sse_train and rec_sse_test."""
    first, *others = cell.split("/")
    return [first, *(f"{first.rpartition('_')[0]}_{other}" for other in others)]


def test_a_separated_batch_has_the_gradient_of_aevb() -> None:
    """SPEC 1.9: where posteriors do not overlap, KL_UB and the mean KL differ by a constant."""
    gradients = []
    for objective in (mixture_kl_bound, lambda m, v: gaussian_kl(m, v).mean()):
        mean, log_variance = APART[0].clone().requires_grad_(), APART[1].log().requires_grad_()
        gradients.append(torch.autograd.grad(objective(mean, log_variance), (mean, log_variance)))
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert bound(*APART) - mean_kl(*APART) == pytest.approx(-math.log(4) + 1 - math.log(2))
