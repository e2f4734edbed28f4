from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.data.ledger import LossLedger, LossLog, LostSample
from geoloc.errors import DataError, LostSamplesError


def lost(kind: str = "torn", **values: object) -> LostSample:
    return LostSample(**{"kind": kind, "shard": "00001.tar", "key": "a", **values})  # type: ignore[arg-type]


def test_counts() -> None:
    ledger = LossLedger(valid=7)
    ledger.add(lost())
    ledger.add(lost("vanished", key=None, count=3))
    ledger.add(lost("surplus", surplus=True))
    assert (ledger.valid, ledger.lost, ledger.seen, ledger.surplus) == (7, 4, 11, 1)
    assert ledger.by_kind == {"torn": 1, "vanished": 3}
    assert ledger.examples["torn"] == ["a in 00001.tar"]
    assert ledger.examples["vanished"] == ["00001.tar"]


# Plain values: beartype draws random numbers in calls, which hypothesis forbids while it draws.
figures = st.fixed_dictionaries(
    {
        "valid": st.integers(0, 99),
        "by_kind": st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
        "examples": st.dictionaries(
            st.sampled_from("abc"), st.lists(st.text(max_size=3), max_size=5)
        ),
        "surplus": st.integers(0, 9),
        "left_out": st.integers(0, 9),
    }
)


@given(figures, figures)
def test_merge_adds_and_changes_neither(one: dict[str, Any], other: dict[str, Any]) -> None:
    a, b = LossLedger(**one), LossLedger(**other)
    before = (a.to_json(), b.to_json())
    both = a.merge(b)
    for name in ("valid", "lost", "seen", "surplus", "left_out"):
        assert getattr(both, name) == getattr(a, name) + getattr(b, name)
    assert all(len(places) <= 5 for places in both.examples.values())
    both.add(lost("a"))
    assert (a.to_json(), b.to_json()) == before


@given(figures)
def test_json_round_trip(values: dict[str, Any]) -> None:
    ledger = LossLedger(**values)
    assert LossLedger.from_json(json.loads(json.dumps(ledger.to_json()))) == ledger
    assert ledger.copy() == ledger


@pytest.mark.parametrize(
    ("valid", "gone", "share", "total", "raises"),
    [
        (99, 1, 0.01, None, False),
        (98, 2, 0.01, None, True),
        (0, 5, 0.01, 1000, False),
        (0, 11, 0.01, 1000, True),
        (5, 0, 0.0, None, False),
        (9999, 1, 0.0, None, True),
        (0, 100, 1.0, None, False),
        (0, 0, 0.0, None, False),
    ],
)
def test_raise_above(valid: int, gone: int, share: float, total: int | None, raises: bool) -> None:
    ledger = LossLedger(valid=valid)
    if gone:
        ledger.add(lost("corrupt", count=gone))
    assert ledger.exceeds(share, total=total) == raises
    if not raises:
        ledger.raise_above(share, total=total)
        return
    with pytest.raises(LostSamplesError, match=rf"{gone} of .*corrupt {gone} \(first: a in 00001"):
        ledger.raise_above(share, total=total)


def test_no_verdict_before_the_minimum() -> None:
    ledger = LossLedger(by_kind={"torn": 9})
    ledger.raise_above(0.1, minimum_seen=10)
    with pytest.raises(DataError, match=r"more than the 0\.1 allowed"):
        ledger.raise_above(0.1, minimum_seen=9)


def test_the_log_falls_silent_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    log = LossLog(limit=3)
    with caplog.at_level(logging.WARNING, logger="geoloc.data"):
        for number in range(10):
            log.write(lost(key=f"k{number}", detail="why"))
        log.write(lost("other", key="z"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "lost, torn: k0 in 00001.tar (why)",
        "lost, torn: k1 in 00001.tar (why)",
        "lost, torn: k2 in 00001.tar (why)",
        "more of this kind (torn) are counted, not logged",
        "lost, other: z in 00001.tar",
    ]
    caplog.clear()
    log.close(LossLedger(valid=3), "epoch 0")
    assert not caplog.records
    log.close(LossLedger(valid=3, by_kind={"torn": 2}), "epoch 0")
    assert "epoch 0: 3 valid, 2 lost" in caplog.text
