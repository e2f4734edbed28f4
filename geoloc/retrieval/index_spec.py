"""What kind of index, with which parameters, as one word: ``faiss-ivf:nlist=1024,nprobe=16``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from geoloc.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    """One whole number: its default, its range, and whether it acts when building or searching."""

    default: int
    least: int = 1
    most: int = 1 << 24
    at_search: bool = False


_RESCORE = _Parameter(default=0, least=0, most=65_536, at_search=True)
_NPROBE = _Parameter(default=16, at_search=True)
_NLIST = _Parameter(default=0, least=0)
_KINDS: Mapping[str, Mapping[str, _Parameter]] = {
    "exact": {},
    "faiss-flat": {},
    "faiss-ivf": {
        "nlist": _NLIST,
        "nprobe": _NPROBE,
        "bits": _Parameter(default=32, least=8, most=32),
        "rescore": _RESCORE,
    },
    "faiss-hnsw": {
        "links": _Parameter(default=32, least=2, most=512),
        "ef_build": _Parameter(default=80, most=65_536),
        "ef_search": _Parameter(default=64, most=65_536, at_search=True),
        "rescore": _RESCORE,
    },
    "faiss-pq": {
        "nlist": _NLIST,
        "nprobe": _NPROBE,
        "bytes": _Parameter(default=64, most=4096),
        "rescore": _Parameter(default=256, most=65_536, at_search=True),
    },
}
_BITS = (8, 16, 32)
INDEX_KINDS = tuple(_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """A kind of index with all its parameters.

    Attributes:
        kind: one of `INDEX_KINDS`.
        value: every parameter of that kind by name; ``nlist`` 0 stands for a number that suits the
            number of candidates.
    """

    kind: str
    value: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        """The word that `parse_index` reads, with every parameter."""
        words = ",".join(f"{name}={value}" for name, value in self.value.items())
        return f"{self.kind}:{words}" if words else self.kind

    @property
    def built(self) -> str:
        """The same without the parameters that act at search time only: what a kept index is."""
        known = _KINDS[self.kind]
        words = ",".join(f"{n}={v}" for n, v in self.value.items() if not known[n].at_search)
        return f"{self.kind}:{words}" if words else self.kind


def parse_index(word: str) -> IndexSpec:
    """Read ``KIND`` or ``KIND:NAME=NUMBER,...``.

    Kinds and parameters:

    - ``exact``: `ExactIndex`.
    - ``faiss-flat``: brute force by faiss.
    - ``faiss-ivf``: `nlist` cells of which `nprobe` are searched, vectors in `bits` a number: 32,
      16, or 8 (scalar quantiser).
    - ``faiss-hnsw``: a graph of `links` links a node, built and searched with lists of `ef_build`
      and `ef_search`.
    - ``faiss-pq``: cells as ``faiss-ivf``, product quantiser of `bytes` bytes a vector.

    All but the first two take `rescore`: how many candidates are scored again from the vectors
    themselves; never fewer than k and a few.

    Raises:
        ConfigError: no such kind or parameter, one given twice, or a number out of range.
    """
    kind, colon, rest = word.partition(":")
    if kind not in _KINDS:
        raise ConfigError(f"no index {kind!r}: choose {', '.join(_KINDS)}")
    known = _KINDS[kind]
    given: dict[str, int] = {}
    for part in rest.split(",") if colon else ():
        name, _, number = part.partition("=")
        if name not in known or name in given:
            takes = ", ".join(known) or "no parameters"
            problem = "is given twice" if name in given else "is no parameter of it"
            raise ConfigError(f"index {word!r}: {name!r} {problem}; {kind} takes {takes}")
        given[name] = _number(word, name, number, known[name])
    if given.get("bits", 8) not in _BITS:
        raise ConfigError(f"index {word!r}: bits is 8, 16 or 32")
    value = {name: given.get(name, parameter.default) for name, parameter in known.items()}
    return IndexSpec(kind=kind, value=MappingProxyType(value))


def _number(word: str, name: str, text: str, parameter: _Parameter) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"index {word!r}: write {name}=NUMBER, a whole number")
    if not parameter.least <= int(text) <= parameter.most:
        raise ConfigError(
            f"index {word!r}: {name} lies between {parameter.least} and {parameter.most}"
        )
    return int(text)
