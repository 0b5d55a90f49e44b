"""`python -m bench figures`: where files go, what is refused and in which words; docs/figures.md names every kind."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import cli, suite
from PIL import Image

from bench.commands import figures as drawing
from bench.figures import kinds
from bench.runs.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A folder of results, its suite file, and the folder of a run of `vae_gauss`; `ae` has no prior."""
    out = tmp_path_factory.mktemp("figures")
    file = suite(out / "suite", "[methods.vae_gauss]\n[methods.ae]\n", steps=20)
    assert cli("run", "-s", file, "-o", out, "--no-profile", "--jobs", 1).code == 0
    return out, file, next(out.glob("runs/tiny/vae_gauss/0-*"))


def test_a_runs_figures_lie_in_its_folder_and_come_again_with_equal_bytes(here: tuple[Path, Path, Path]) -> None:
    _, _, run = here
    for _ in range(2):
        result = cli("figures", run, "--which", "samples,traversal-animation,scatter")
        assert result.code == 0, result.err
        paths = [Path(line) for line in result.out.splitlines()]
        assert [path.relative_to(run).as_posix() for path in paths] == [
            "figures/samples.png",
            "figures/traversal-animation.gif",
            "figures/scatter.png",
        ]
        found = [path.read_bytes() for path in paths]
        for path in paths:
            path.rename(path.with_suffix(".before"))
    assert found == [path.with_suffix(".before").read_bytes() for path in paths]


@pytest.mark.slow
def test_a_run_command_draws_what_suits_each_run_when_it_is_asked_to(here: tuple[Path, Path, Path]) -> None:
    out, file, run = here
    result = cli("run", "-s", file, "-o", out, "--no-profile", "--jobs", 1, "--figures")  # all runs are done already
    assert result.code == 0, result.err
    drawn = {path.stem for path in (run / "figures").iterdir()}
    assert {"samples", "reconstructions", "scatter", "histograms", "training"} <= drawn
    ae = next(out.glob("runs/tiny/ae/0-*"))
    assert "samples" not in {path.stem for path in (ae / "figures").iterdir()}  # it has no prior
    assert (out / "leaderboards" / "figures" / "tiny-samples.png").is_file()


def test_figures_at_the_end_are_of_whole_runs(here: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file, _ = here
    drawing.at_the_end(str(file), ((), None), Settings(tmp_path, tmp_path))
    assert "no figures: " in capsys.readouterr().err  # no run has finished there
    refused = cli("run", "-s", file, "-o", out, "--smoke", "--figures")
    assert (refused.code, refused.line()) == (2, "--figures draws whole runs; --smoke makes none")


def test_a_suites_figures_lie_beside_its_leaderboard(here: tuple[Path, Path, Path]) -> None:
    out, file, _ = here
    result = cli("figures", file, "-o", out, "--which", "samples", "--format", "svg")
    assert (result.code, result.out) == (0, f"{out}/leaderboards/figures/tiny-samples.svg\n{out}/leaderboards/tiny.md\n"), result.err
    assert b"<svg" in (out / "leaderboards" / "figures" / "tiny-samples.svg").read_bytes()[:600]
    refused = cli("figures", file, "-o", out, "--which", "rate-distortion")  # of two rows, one has a rate
    assert refused.code == 2
    assert refused.line().startswith("tiny: not drawn: rate-distortion: fewer than two rows have a rate")


def test_what_was_drawn_stands_on_the_board_and_on_the_page(here: tuple[Path, Path, Path]) -> None:
    out, file, _ = here
    result = cli("figures", file, "-o", out)  # what cannot be drawn of this suite is left out, for nobody asked for it
    assert result.code == 0, result.err
    assert "left out: rate-distortion: fewer than two rows" in result.out
    assert "](figures/tiny-samples.png)" in (out / "leaderboards" / "tiny.md").read_text()
    page = (out / "leaderboards" / "index.html").read_text()
    for picture in ("tiny-samples.png", "tiny/vae_gauss.png", "tiny/ae.png"):
        assert base64.b64encode((out / "leaderboards" / "figures" / picture).read_bytes()).decode() in page
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0
    assert cli("page", "-o", out, "--check").code == 0
    with Image.open(out / "leaderboards" / "figures" / "tiny" / "ae.png") as strip:
        assert strip.size == (10 * 33 + 1, 2 * 33 + 1)  # no samples: two rows of images of 8 pixels, four times as large


def test_what_a_run_cannot_have_is_left_out_or_refused_where_it_was_asked_for(here: tuple[Path, Path, Path]) -> None:
    out, _, _ = here
    run = next(out.glob("runs/tiny/ae/0-*"))
    refused = cli("figures", run, "--which", "training,samples")
    assert (refused.code, refused.line()) == (2, "ae seed 0: not drawn: samples: no prior, and no density was fitted to its codes")
    assert (run / "figures" / "training.png").is_file()


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("sampels", "--which: unknown figure 'sampels'; did you mean 'samples'? known: "),
        ("rate-distortion", "--which: figure 'rate-distortion' is drawn of a suite, not of a run, of which there are: "),
        ("", "--which must name something"),
    ],
)
def test_a_figure_that_does_not_exist_is_refused(here: tuple[Path, Path, Path], which: str, said: str) -> None:
    refused = cli("figures", here[2], "--which", which)
    assert refused.code == 2
    assert refused.line().startswith(said)


def test_other_mistakes_are_one_line(here: tuple[Path, Path, Path], tmp_path: Path) -> None:
    out, file, run = here
    for arguments, said in (
        ([run, "--format", "pgn"], "--format: unknown format 'pgn'; did you mean 'png'? known: pdf, png, svg"),
        ([file, "-o", out, "--which", "traversal"], "--which: figure 'traversal' is drawn of a run, not of a suite, of which there are: "),
        ([file, "-o", tmp_path], f"{tmp_path}/leaderboards: no records of suite tiny; train its runs with: python -m bench run"),
        (["digist"], "unknown suite 'digist'; did you mean 'digits'?"),
        ([out / "runs" / "tiny" / "vae_gaus" / "0-1"], ""),
    ):
        refused = cli("figures", *arguments)
        assert refused.code == 2
        assert refused.line().startswith(said)


def test_weights_that_are_not_the_records_are_refused(here: tuple[Path, Path, Path]) -> None:
    out, _, run = here
    path, other = run / "weights.safetensors", next(out.glob("runs/tiny/ae/0-*")) / "weights.safetensors"
    kept = path.read_bytes()
    path.write_bytes(other.read_bytes())
    try:
        refused = cli("figures", run, "--which", "samples")
    finally:
        path.write_bytes(kept)
    assert refused.code == 2
    assert "its weights do not fit the method" in refused.line()


def test_the_page_names_every_figure() -> None:
    page = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    of_runs, of_suites = page.split("## Of a suite")
    assert set(re.findall(r"^\| `([\w-]+)`", of_runs, re.MULTILINE)) == {*kinds.OF_RUNS, kinds.ANIMATION}
    assert set(re.findall(r"^\| `([\w-]+)`", of_suites, re.MULTILINE)) == set(kinds.OF_SUITES)


def test_training_and_leaderboards_do_not_load_matplotlib() -> None:
    code = "import sys, bench.__main__, bench.commands.run, bench.runs.run, bench.leaderboard.publish; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (0, "False\n"), run.stderr
