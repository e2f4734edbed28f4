from __future__ import annotations

import subprocess
import sys

import torch

from geoloc.models.torchvision_compat import declare_missing_operators, missing_operators


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_torchvision_imports_in_a_fresh_process():
    run(
        "from geoloc.models import declare_missing_operators\n"
        "declare_missing_operators()\n"
        "import torchvision, timm\n"
        "from torchvision import transforms\n"
    )


def test_declaring_twice_does_no_harm():
    declare_missing_operators()
    declare_missing_operators()
    assert missing_operators() == ()
    schema = str(torch.ops.torchvision.nms.default._schema)
    assert "Tensor dets, Tensor scores, float iou_threshold) -> Tensor" in schema


def test_operators_that_exist_are_left_alone():
    # Stand-ins for torchvision's own library: one operator is there (its kernel must still work
    # afterwards), the other comes with the library file, which so has to be tried first.
    run(
        "import torch\n"
        "from geoloc.models import torchvision_compat as compat\n"
        "real = torch.library.Library('torchvision', 'DEF')\n"
        "real.define(compat._SCHEMA.format(name='nms'))\n"
        "real.impl('nms', lambda dets, scores, iou_threshold: scores + 1, 'CPU')\n"
        "torch.ops.load_library = lambda path: real.define(compat._SCHEMA.format(name='qnms'))\n"
        "compat.declare_missing_operators()\n"
        "assert not compat._DECLARED\n"
        "answer = torch.ops.torchvision.nms(torch.zeros(1, 4), torch.ones(1), 0.5)\n"
        "assert answer.item() == 2\n"
    )


def test_models_do_not_import_heavy_libraries_until_needed():
    run(
        "import sys, geoloc.models, geoloc.models.geoclip\n"
        "loaded = {'torchvision', 'timm', 'open_clip'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
