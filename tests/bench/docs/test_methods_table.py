"""The table of methods: known rows of SPEC 1.1, where papers and equations are read, and that docs/methods.md has it."""

from pathlib import Path

import pytest
import torch

from bench.docs.methods_table import BEGIN, END, HEADERS, filled, markdown, rows, source
from bench.registry import catalogue

PAGE = Path(__file__).parents[3] / "docs" / "methods.md"
Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def table() -> Rows:
    """The table's rows by method and column."""
    return {line[0]: dict(zip(HEADERS, line, strict=True)) for line in rows(catalogue().methods)}


def test_every_method_has_a_row_with_paper_and_equation(table: Rows) -> None:
    assert set(table) == set(catalogue().methods)
    for name, row in table.items():
        assert all(row.values()), name
        assert "object at" not in str(row)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ae", {"cost": "SSE", "regularisers": "none", "prior": "none", "sampler": "a fitted density", "players": "autoencoder"}),
        ("vae_bernoulli", {"cost": "Bernoulli", "prior": "N(0, I)", "sampler": "the prior", "players": "autoencoder"}),
        ("wae_mmd", {"paper": "arXiv:1711.01558", "equation": "Eq. 4, Algorithm 2", "posterior": "deterministic"}),
        ("wae_gan", {"players": "prior_match, autoencoder", "equation": "Algorithm 1"}),
        ("vcae", {"paper": "arXiv:2005.03807", "equation": "Eq. 6-7", "regularisers": "0.1 × |ΣVar - 8|"}),
        ("stacked_wae", {"paper": "arXiv:2010.03467", "equation": "Eq. 14", "cost": "SSE", "players": "autoencoder"}),
        ("implicit_wae", {"equation": "Eq. 8, ablation of section 3.1", "regularisers": "w × MMD, imq7, w = 10"}),
    ],
)
def test_known_rows(table: Rows, name: str, expected: dict[str, str]) -> None:
    assert {key: table[name][key] for key in expected} == expected


@pytest.mark.parametrize(
    ("family", "method", "expected"),
    [
        ('What.\n\nA, "T: a", arXiv:1234.56789, Eq. 1, 2; SPEC 1.', "It (Eq. 3-4, B.1).", ("arXiv:1234.56789", "Eq. 3-4, B.1")),
        ("What.\n\nA (arXiv:1.2), Algorithm 1; SPEC 1, Eq. 9:", "It (fast).", ("arXiv:1.2", "Algorithm 1")),
        ('What.\n\nA, arXiv:1.2; "Other", section 4, 6.4, B.5.', "It.", ("arXiv:1.2, Other", "section 4, 6.4, B.5")),
        ("What.", "It (section 2.1).", ("", "section 2.1")),
    ],
)
def test_papers_and_equations_are_those_of_the_docstrings(family: str, method: str, expected: tuple[str, str]) -> None:
    assert source(family, method) == expected


def test_rows_leave_the_random_stream_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    rows({"ae": catalogue().methods["ae"], "wae_gan": catalogue().methods["wae_gan"]})
    assert torch.equal(torch.get_rng_state(), before)


def test_a_page_is_filled_between_its_markers() -> None:
    page = f"one\n{BEGIN}old\n{END}two\n"
    assert filled(page, "new\n") == f"one\n{BEGIN}\nnew\n\n{END}two\n"
    assert filled(filled(page, "new\n"), "new\n") == filled(page, "new\n")
    for wrong in ("one\n", f"{BEGIN}{END}{END}"):
        with pytest.raises(ValueError, match="must have the lines"):
            filled(wrong, "new\n")


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, markdown()), "older than the methods; write it: python -m bench.docs.methods_table docs/methods.md"
