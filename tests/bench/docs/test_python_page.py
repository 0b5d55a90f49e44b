"""docs/python.md and docs/quickstart.ipynb as they stand: every block and every cell is run, in their order."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import pytest

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```python( pandas)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOTEBOOK = DOCS / "quickstart.ipynb"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENTBENCH_DATA", str(tmp_path / "data"))
    matplotlib.use("agg")


def test_every_block_of_the_page_runs() -> None:
    blocks, names = BLOCK.findall((DOCS / "python.md").read_text(encoding="utf-8")), dict[str, object]()
    assert len(blocks) >= 6
    for number, (pandas, text) in enumerate(blocks):
        if not pandas or find_spec("pandas"):
            exec(compile(text, f"python.md, block {number + 1}", "exec"), names)
    assert {path.name for path in Path("out/runs/short").iterdir()} == {"ae", "vae_bernoulli"}


def cells() -> list[str]:
    """The code of the notebook."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert all(cell.get("outputs", []) == [] for cell in notebook["cells"]), "it is kept without outputs"
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_every_cell_of_the_notebook_runs() -> None:
    names = dict[str, object]()
    for number, text in enumerate(cells()):
        exec(compile(text, f"quickstart.ipynb, cell {number + 1}", "exec"), names)
    assert {record["status"] for record in names["records"]} == {"done"}  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.skipif(not (find_spec("nbclient") and find_spec("ipykernel")), reason="needs nbclient and ipykernel, of the extra test")
def test_the_notebook_runs_in_a_kernel() -> None:
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    done = nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    pictures = [output for cell in done.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    assert "rec_sse_test" in done.cells[-1].outputs[0]["data"]["text/plain"]
