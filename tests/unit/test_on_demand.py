from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import geoloc.data
import geoloc.evaluation
from geoloc.on_demand import import_on_demand

HEAVY = ("pandas", "scipy.stats", "torchvision", "timm", "open_clip", "matplotlib", "geopandas")


@pytest.mark.parametrize("package", [geoloc.data, geoloc.evaluation])
def test_every_name_that_is_offered_can_be_had(package):
    for name in package.__all__:
        assert not isinstance(getattr(package, name), ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_a_function_keeps_its_name_from_the_submodule_of_that_name(tmp_path, monkeypatch):
    folder = tmp_path / "offered"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from offered.word import word, other as second\n"
    )
    (folder / "word.py").write_text("def word(): return 'said'\ndef other(): return 'two'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import offered  # pyright: ignore[reportMissingImports]

    import_on_demand("offered")
    assert "offered.word" not in sys.modules
    import offered.word  # pyright: ignore[reportMissingImports]

    assert not isinstance(offered.word, ModuleType)
    assert (offered.word(), offered.second()) == ("said", "two")
    for name in ("offered", "offered.word"):
        del sys.modules[name]


def test_asking_imports_nothing_that_only_learning_needs():
    code = (
        "import sys; from geoloc.inference import Geolocator; "
        "from geoloc.places import Areas, Gazetteer; Areas.load(); Gazetteer.load(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
