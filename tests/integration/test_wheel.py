"""The wheel holds the package, its data and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "geoloc", source / "geoloc")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((source / "dist").glob("*.whl"))


def test_wheel_holds_code_data_and_command(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "geoloc").rglob("*.py")}
    assert sources <= set(names)
    assert "geoloc/places/natural_earth_admin1.parquet" in names
    assert "geoloc/places/DATA.md" in names
    assert "geoloc/inference/answers.schema.json" in names
    page = ROOT / "geoloc/inference/service/page"
    files = {str(path.relative_to(ROOT)) for path in page.rglob("*") if path.is_file()}
    assert "geoloc/inference/service/page/vendor/leaflet/leaflet.js" in files
    assert files <= set(names)
    assert "geoloc/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"geoloc"}


def test_wheel_installs_and_runs_without_the_checkout(wheel, tmp_path):
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r}); import geoloc; "
        "from geoloc.places import Areas; from geoloc.cli import main; "
        "assert geoloc.__file__.startswith(sys.path[0]); "
        "import numpy as np; print(Areas.load().is_land(np.array([[48.8, 2.3]]))); "
        "raise SystemExit(main(['query', 'x.jpg']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert "[ True]" in done.stdout
    assert done.returncode == 2
    assert "no finished run" in done.stderr
