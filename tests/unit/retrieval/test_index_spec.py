from __future__ import annotations

import pytest

from geoloc.errors import ConfigError
from geoloc.retrieval import INDEX_KINDS, parse_index


def test_parameters_left_out_have_their_defaults_and_the_word_comes_back_whole():
    spec = parse_index("faiss-ivf:nprobe=4")
    assert dict(spec.value) == {"nlist": 0, "nprobe": 4, "bits": 32, "rescore": 0}
    assert str(spec) == "faiss-ivf:nlist=0,nprobe=4,bits=32,rescore=0"
    assert spec.built == "faiss-ivf:nlist=0,bits=32"
    assert str(parse_index("exact")) == parse_index("exact").built == "exact"


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_every_kind_reads_what_it_writes(kind):
    spec = parse_index(kind)
    assert parse_index(str(spec)) == spec


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("faiss", "no index 'faiss': choose exact, faiss-flat"),
        ("", "no index ''"),
        ("exact:nprobe=3", "'nprobe' is no parameter of it; exact takes no parameters"),
        ("faiss-ivf:cells=3", "faiss-ivf takes nlist, nprobe, bits, rescore"),
        ("faiss-ivf:", "'' is no parameter"),
        ("faiss-ivf:nlist=4,nlist=5", "given twice"),
        ("faiss-ivf:nlist", "write nlist=NUMBER"),
        ("faiss-ivf:nlist=-1", "a whole number"),
        ("faiss-ivf:nlist=1e3", "a whole number"),
        ("faiss-ivf:nprobe=0", "between 1 and"),
        ("faiss-ivf:bits=12", "bits is 8, 16 or 32"),
        ("faiss-hnsw:links=1", "links lies between 2 and 512"),
        ("faiss-pq:bytes=9999", "bytes lies between"),
    ],
)
def test_what_cannot_be_meant_is_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        parse_index(word)
