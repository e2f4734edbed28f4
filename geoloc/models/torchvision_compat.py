"""Lets torchvision be imported beside a torch build that its compiled operators do not fit.

A CPU build of torch beside a CUDA build of torchvision cannot load torchvision's operator
library, and `import torchvision` then fails because it registers shape functions for two
operators that nobody has defined. geoloc uses neither operator, so their bare schemas suffice.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_OPERATORS = ("nms", "qnms")
_SCHEMA = "{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# torch drops an operator as soon as the Library that declared it is collected.
_DECLARED: list[torch.library.Library] = []


def declare_missing_operators() -> None:
    """Declare ``torchvision::nms`` and ``torchvision::qnms`` where no library defines them.

    To be called before the first import of torchvision, timm or open_clip. Where torchvision's
    own operators load they are kept and nothing is declared. May be called any number of times.
    """
    if not missing_operators():
        return
    _load_real_operators()
    for name in missing_operators():
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(_SCHEMA.format(name=name))
        _DECLARED.append(library)


def missing_operators() -> tuple[str, ...]:
    """Names of the operators that torchvision's import needs and that are not defined yet."""
    return tuple(name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name))


def _load_real_operators() -> None:
    # A schema of ours would clash with the real library loaded after it, so that goes first.
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for library in sorted([*Path(folder).glob("_C*.so"), *Path(folder).glob("_C*.pyd")]):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                continue
