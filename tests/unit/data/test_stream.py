from __future__ import annotations

import itertools
import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from geoloc.batch import GeoBatch
from geoloc.data.decoding import decode_image
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.ledger import LostSample
from geoloc.data.reading import RawSample
from geoloc.data.record import Record
from geoloc.data.shard_index import IndexedShard
from geoloc.data.shards import ShardWriter
from geoloc.data.stream import ShardStream
from geoloc.data.stream_messages import shard_order
from geoloc.data.stream_stages import shuffle_items
from geoloc.data.transforms import augment, preprocess, sample_draws
from geoloc.errors import ConfigError, DataError, LostSamplesError
from geoloc.models.image_encoder import ImagePreset

COUNT = 47
PER_SHARD = 6


@pytest.fixture
def folder(make_shards: Callable[..., Path]) -> Path:
    return make_shards(COUNT, per_shard=PER_SHARD)


@pytest.fixture
def stream(folder: Path, preset: ImagePreset) -> Callable[..., ShardStream]:
    def make(**options: Any) -> ShardStream:
        source = options.pop("source", folder)
        settings = {"batch_size": 4, "shuffle_buffer": 7, "seed": 3, **options}
        return ShardStream(source, preset, **settings)

    return make


def keys_of(batches: list[GeoBatch]) -> list[str]:
    return [key for batch in batches for key in batch.key]


def assert_equal(ours: list[GeoBatch], theirs: list[GeoBatch]) -> None:
    assert [batch.key for batch in ours] == [batch.key for batch in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert a.image is not None
        assert b.image is not None
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.latlon_deg, b.latlon_deg)
        assert a.label == b.label


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_evaluation_gives_every_sample_once_as_the_encoder_takes_it(
    stream: Callable[..., ShardStream],
    make_records: Callable[..., list[Record]],
    preset: ImagePreset,
    workers: int,
) -> None:
    data = stream(training=False, workers=workers)
    batches = list(data.epoch(0))
    by_key = {record.key: record for record in make_records(COUNT)}
    assert sorted(keys_of(batches)) == sorted(by_key)
    assert len(batches) == data.steps_per_epoch
    assert data.sample_count == COUNT
    for batch in batches:
        assert batch.image is not None
        assert batch.latlon_deg.dtype == torch.float64
        for row, key in enumerate(batch.key):
            record = by_key[key]
            expected = preprocess(decode_image(record.image_bytes), preset)
            assert torch.equal(batch.image[row], expected)
            assert tuple(batch.latlon_deg[row].tolist()) == record.latlon_deg
            assert batch.label[row]["country"] == record.label["country"]


def test_evaluation_keeps_order_without_workers(stream: Callable[..., ShardStream]) -> None:
    keys = keys_of(list(stream(training=False).epoch(0)))
    assert keys == sorted(keys)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_gives_every_sample_once_in_an_order_of_seed_and_epoch(
    stream: Callable[..., ShardStream], workers: int
) -> None:
    data = stream(workers=workers)
    first = list(data.epoch(0))
    assert len(set(keys_of(first))) == len(keys_of(first)) == COUNT - data.ledger.left_out
    assert data.ledger.seen == data.ledger.valid == COUNT
    assert len(first) == data.steps_per_epoch
    assert keys_of(first) != sorted(keys_of(first))
    assert_equal(first, list(data.epoch(0)))
    assert_equal(first, list(stream(workers=workers).epoch(0)))
    second = list(data.epoch(1))
    assert len(second) == data.steps_in(1)
    assert keys_of(first) != keys_of(second)
    assert keys_of(first) != keys_of(list(stream(workers=workers, seed=4).epoch(0)))


def test_shards_come_in_another_order_in_every_epoch() -> None:
    orders = [shard_order(50, seed=1, epoch=epoch) for epoch in range(3)]
    assert orders[0] == shard_order(50, seed=1, epoch=0)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert shard_order(50, seed=2, epoch=0) != orders[0]
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_one_shard_too_is_shuffled_otherwise_in_every_epoch(
    stream: Callable[..., ShardStream], folder: Path
) -> None:
    data = stream(source=str(folder / "00000.tar"))
    epochs = [keys_of(list(data.epoch(epoch))) for epoch in range(4)]
    assert len({tuple(keys) for keys in epochs}) > 1


def test_places_keep_every_digit(tmp_path: Path, preset: ImagePreset, make_image: Any) -> None:
    place = (12.345678901234567, -98.76543210987654)
    with ShardWriter(tmp_path / "exact") as writer:
        writer.write(Record(key="one", image_bytes=make_image(0), latlon_deg=place))
    (batch,) = ShardStream(tmp_path / "exact", preset, batch_size=1, training=False).epoch(0)
    assert tuple(batch.latlon_deg[0].tolist()) == place


def test_one_worker_is_like_none(stream: Callable[..., ShardStream]) -> None:
    assert_equal(list(stream(workers=1).epoch(2)), list(stream(workers=0).epoch(2)))


def test_pixels_depend_on_seed_epoch_and_key_alone(
    stream: Callable[..., ShardStream],
    make_records: Callable[..., list[Record]],
    preset: ImagePreset,
) -> None:
    def pixels(batches: list[GeoBatch]) -> dict[str, torch.Tensor]:
        return {k: b.image[i] for b in batches for i, k in enumerate(b.key)}  # type: ignore[index]

    apart = pixels(list(stream(workers=2, batch_size=5, shuffle_buffer=1).epoch(1)))
    together = pixels(list(stream(workers=0).epoch(1)))
    other = pixels(list(stream(workers=0).epoch(2)))
    common = apart.keys() & together.keys() & other.keys()
    assert len(common) > COUNT - 6
    for key in common:
        assert torch.equal(apart[key], together[key])
    assert sum(torch.equal(together[key], other[key]) for key in common) < len(common) / 4
    record = make_records(COUNT)[10]
    expected = augment(decode_image(record.image_bytes), preset, sample_draws(3, 1, record.key))
    assert torch.equal(together[record.key], expected)


@pytest.mark.parametrize(
    ("workers", "training"), [(0, True), (1, True), (2, True), (3, True), (2, False)]
)
def test_resume_after_any_batch_goes_on_bit_for_bit(
    stream: Callable[..., ShardStream], workers: int, training: bool
) -> None:
    options = {"workers": workers, "training": training}
    straight = stream(**options)
    whole, states = [], []
    for batch in straight.epoch(1):
        whole.append(batch)
        states.append(json.loads(json.dumps(straight.state())))
    account = straight.ledger.to_json()
    stops = range(len(whole)) if workers == 0 else range(0, len(whole), 3)
    for stop in {*stops, len(whole) - 1}:
        resumed = stream(**options)
        resumed.restore(states[stop])
        assert_equal(list(resumed.epoch(1)), whole[stop + 1 :])
        assert resumed.ledger.to_json() == account
    # The next epoch is that of the straight run.
    assert_equal(list(resumed.epoch(2)), list(straight.epoch(2)))


def test_resume_of_a_resumed_run(stream: Callable[..., ShardStream]) -> None:
    whole = list(stream(workers=2).epoch(0))
    done: list[GeoBatch] = []
    state: dict[str, Any] | None = None
    while True:
        data = stream(workers=2)
        if state is not None:
            data.restore(state)
        part = list(itertools.islice(data.epoch(0), 3))
        if not part:
            break
        done += part
        state = data.state()
    assert_equal(done, whole)


def test_resume_with_losses_counts_each_once(
    stream: Callable[..., ShardStream], folder: Path
) -> None:
    for name in ("00001.tar", "00004.tar", "00007.tar"):
        shard = folder / name
        data = shard.read_bytes()
        shard.write_bytes(data[: len(data) // 2])
    options = {"workers": 2, "max_lost_share": 1.0}
    straight = stream(**options)
    whole, states = [], []
    for batch in straight.epoch(0):
        whole.append(batch)
        states.append(straight.state())
    assert straight.ledger.lost > 0
    assert straight.ledger.seen == COUNT
    for stop in range(len(whole)):
        resumed = stream(**options)
        resumed.restore(states[stop])
        assert_equal(list(resumed.epoch(0)), whole[stop + 1 :])
        assert resumed.ledger.to_json() == straight.ledger.to_json()


@pytest.mark.parametrize("strands", [1, 2, 3, 5])
def test_the_order_is_the_same_for_any_number_of_workers(
    stream: Callable[..., ShardStream], strands: int
) -> None:
    expected = list(stream(strands=strands, workers=0).epoch(2))
    for workers in range(1, strands + 2):
        data = stream(strands=strands, workers=workers)
        found = list(data.epoch(2))
        assert [batch.key for batch in found] == [batch.key for batch in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours.image, theirs.image)
        assert data.ledger.valid == COUNT


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3), (0, 2), (3, 0), (1, 3)])
@pytest.mark.parametrize("taken", [1, 4, 8])
def test_a_pass_goes_on_with_another_number_of_workers(
    stream: Callable[..., ShardStream], before: int, after: int, taken: int
) -> None:
    straight = [batch.key for batch in stream(strands=3, workers=3).epoch(0)]
    first = stream(strands=3, workers=before)
    batches = first.epoch(0)
    given = [next(batches).key for _ in range(taken)]
    again = stream(strands=3, workers=after)
    again.restore(json.loads(json.dumps(first.state())))
    assert given + [batch.key for batch in again.epoch(0)] == straight


def test_an_index_changes_nothing_but_what_is_read(
    stream: Callable[..., ShardStream], make_shards: Callable[..., Path]
) -> None:
    folder = make_shards(COUNT, per_shard=PER_SHARD, name="both")
    indexed = list(stream(source=folder, workers=2).epoch(1))
    for path in folder.glob("*.index.parquet"):
        path.unlink()
    plain = list(stream(source=folder, workers=2).epoch(1))
    assert [batch.key for batch in indexed] == [batch.key for batch in plain]
    for ours, theirs in zip(indexed, plain, strict=True):
        assert torch.equal(ours.image, theirs.image)
        assert torch.equal(ours.latlon_deg, theirs.latlon_deg)
        assert ours.label == theirs.label


def test_what_was_consumed_is_not_read_again(
    stream: Callable[..., ShardStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stream()
    batches = data.epoch(0)
    for _ in range(6):
        next(batches)
    rows: list[int] = []

    def counting(shard: IndexedShard, row: int) -> Any:
        rows.append(row)
        return read(shard, row)

    read = IndexedShard.read
    monkeypatch.setattr(IndexedShard, "read", counting)
    resumed = stream()
    resumed.restore(data.state())
    given = keys_of(list(resumed.epoch(0)))
    assert len(rows) == len(given) + resumed.ledger.left_out < COUNT


def test_skipping_does_not_decode(
    stream: Callable[..., ShardStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stream()
    batches = data.epoch(0)
    for _ in range(6):
        next(batches)
    state = data.state()
    rest = len(list(batches))
    decoded = []

    def counting(image: EncodedImage, **options: Any) -> Any:
        decoded.append(1)
        return pixels(image, **options)

    pixels = EncodedImage.pixels
    monkeypatch.setattr(EncodedImage, "pixels", counting)
    resumed = stream()
    resumed.restore(state)
    given = list(resumed.epoch(0))
    assert len(given) == rest
    assert len(decoded) == len(keys_of(given)) + resumed.ledger.left_out


def test_leaving_an_epoch_early_and_starting_anew(stream: Callable[..., ShardStream]) -> None:
    data = stream(workers=2)
    first = list(itertools.islice(data.epoch(0), 2))
    whole = list(data.epoch(0))
    assert_equal(first, whole[:2])
    assert data.ledger.seen == COUNT


def test_a_position_is_refused_by_another_stream(
    stream: Callable[..., ShardStream], make_shards: Callable[..., Path]
) -> None:
    data = stream(workers=2)
    next(data.epoch(0))
    state = data.state()
    others: list[dict[str, Any]] = [
        {"seed": 9},
        {"batch_size": 5},
        {"strands": 3},
        {"shuffle_buffer": 8},
        {"decoding": "fast"},
        {"augment": False},
        {"training": False},
        {"world": 2},
        {"source": make_shards(COUNT, per_shard=5, name="other")},
    ]
    for other in others:
        name = {"augment": "augmentation", "source": "shards"}.get(
            next(iter(other)), next(iter(other))
        )
        with pytest.raises(DataError, match=f"with {name}"):
            stream(**{"workers": 2, **other}).restore(state)
    with pytest.raises(DataError, match="another version"):
        stream(workers=2).restore({**state, "schema_version": 0})
    again = stream(workers=2)
    again.restore(state)
    with pytest.raises(DataError, match="inside epoch 0, not 1"):
        next(again.epoch(1))


def test_a_position_survives_a_move_of_the_folder(
    stream: Callable[..., ShardStream], folder: Path
) -> None:
    data = stream()
    batches = data.epoch(0)
    next(batches)
    state, rest = data.state(), list(batches)
    moved = folder.rename(folder.with_name("moved"))
    again = stream(source=moved)
    again.restore(state)
    assert_equal(list(again.epoch(0)), rest)


@pytest.mark.parametrize("training", [True, False])
def test_nodes_share_the_shards(stream: Callable[..., ShardStream], training: bool) -> None:
    nodes = [stream(rank=rank, world=3, workers=2, training=training) for rank in range(3)]
    given = [keys_of(list(node.epoch(5))) for node in nodes]
    left_out = sum(node.ledger.left_out for node in nodes)
    together = [key for keys in given for key in keys]
    assert len(together) == len(set(together)) == COUNT - left_out
    assert left_out == 0 or training
    for node, keys in zip(nodes, given, strict=True):
        assert node.steps_in(5) == len(list(node.epoch(5)))
        assert keys


def test_more_nodes_than_shards_in_evaluation(stream: Callable[..., ShardStream]) -> None:
    nodes = [stream(rank=rank, world=11, training=False) for rank in range(11)]
    given = [keys_of(list(node.epoch(0))) for node in nodes]
    assert sorted(itertools.chain(*given)) == [f"k{i:04d}" for i in range(COUNT)]
    assert not given[-1]


def test_fewer_shards_than_workers(stream: Callable[..., ShardStream], folder: Path) -> None:
    with pytest.raises(DataError, match=r"8 shards cannot feed 1 nodes with 9 workers.*fewer"):
        stream(workers=9)
    with pytest.raises(DataError, match="8 shards cannot feed 3 nodes with 3 workers"):
        stream(workers=3, world=3)
    one = stream(source=folder / "00000.tar", workers=2, training=False)
    assert len(keys_of(list(one.epoch(0)))) == PER_SHARD


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"workers": -1},
        {"rank": 1},
        {"world": 0},
        {"max_lost_share": 1.5},
        {"shuffle_buffer": -1},
        {"augment": True, "training": False},
    ],
)
def test_impossible_settings(stream: Callable[..., ShardStream], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        stream(**options)


def test_a_single_sample_at_the_end_is_left_out_of_training_and_counted(
    stream: Callable[..., ShardStream], make_shards: Callable[..., Path]
) -> None:
    source = make_shards(9, per_shard=9, name="nine")
    data = stream(source=source, batch_size=4)
    assert [len(batch) for batch in data.epoch(0)] == [4, 4]
    assert data.ledger.left_out == 1
    assert data.ledger.valid == 9
    assert data.steps_per_epoch == 2
    evaluation = stream(source=source, batch_size=4, training=False)
    assert [len(batch) for batch in evaluation.epoch(0)] == [4, 4, 1]
    assert evaluation.ledger.left_out == 0
    assert [len(batch) for batch in stream(source=source, batch_size=1).epoch(0)] == [1] * 9


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_losses_end_the_pass(
    stream: Callable[..., ShardStream], folder: Path, workers: int
) -> None:
    (folder / "00002.tar").unlink()
    assert keys_of(list(stream(workers=workers, max_lost_share=6 / COUNT).epoch(0)))
    with pytest.raises(LostSamplesError, match=r"unreadable_shard 6 \(first: 00002.tar\)"):
        list(stream(workers=workers, max_lost_share=5.9 / COUNT).epoch(0))


@pytest.mark.parametrize("workers", [0, 2])
def test_when_all_is_lost_it_ends_soon(
    stream: Callable[..., ShardStream], folder: Path, workers: int
) -> None:
    for shard in folder.glob("*.tar"):
        shard.write_bytes(b"")
    with pytest.raises(LostSamplesError, match="empty_shard"):
        list(stream(workers=workers).epoch(0))


def test_without_sizes_the_share_is_that_of_the_samples_seen(
    stream: Callable[..., ShardStream], folder: Path
) -> None:
    (folder / "sizes.json").unlink()
    (folder / "00000.tar").write_bytes(b"")
    data = stream(training=False, max_lost_share=0.2, minimum_seen=10)
    assert data.sample_count is None
    assert data.steps_per_epoch is None
    assert len(keys_of(list(data.epoch(0)))) == COUNT - PER_SHARD
    for name in ("00001.tar", "00002.tar"):
        (folder / name).write_bytes(b"")
    with pytest.raises(LostSamplesError, match=r"3 of 10 samples"):
        list(data.epoch(0))


@pytest.mark.parametrize("workers", [0, 2])
def test_each_loss_is_logged_once_with_key_and_kind(
    stream: Callable[..., ShardStream],
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    workers: int,
) -> None:
    shard = folder / "00003.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[: data.index(b"k0020.json")])
    with caplog.at_level(logging.WARNING, logger="geoloc.data"):
        list(stream(workers=workers, max_lost_share=1.0).epoch(0))
    lines = [record.getMessage() for record in caplog.records]
    assert sum("missing_json: k0020 in 00003.tar" in line for line in lines) == 1
    assert sum("vanished: 3 samples of 00003.tar" in line for line in lines) == 1
    assert {record.name for record in caplog.records} == {"geoloc.data"}


def test_torch_s_global_generator_is_not_touched(stream: Callable[..., ShardStream]) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for workers in (0, 2):
        list(stream(workers=workers).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_dead_worker_is_a_clear_error(
    stream: Callable[..., ShardStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("geoloc.data.stream_stages.open_sample", die)
    with pytest.raises(DataError, match="a loader worker died"):
        list(stream(workers=2, start_method="fork").epoch(0))


@pytest.mark.slow
def test_spawned_workers_give_the_same(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "spawn.py"
    script.write_text(
        "import sys\n"
        "from geoloc.data.stream import ShardStream\n"
        "from geoloc.models.image_encoder import ImagePreset\n"
        "if __name__ == '__main__':\n"
        "    for method, workers in (('spawn', 1), (None, 0)):\n"
        "        data = ShardStream(sys.argv[1], ImagePreset(size=8), batch_size=9,\n"
        "                           workers=workers, start_method=method)\n"
        "        print([(b.key, float(b.image.double().sum())) for b in data.epoch(0)])\n"
    )
    output = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(output) == 2
    assert output[0] == output[1]
    assert "k0001" in output[0]


def test_shuffling_is_a_permutation_and_a_window() -> None:
    items: list[RawSample | LostSample] = [
        RawSample(key=str(i), image_bytes=b"", json_bytes=b"", shard="s") for i in range(50)
    ]
    items.insert(20, LostSample(kind="torn", shard="s"))
    for size in (0, 1, 10, 100):
        shuffled = list(shuffle_items(iter(items), size=size, rng=random.Random(0)))
        assert sorted(map(id, shuffled)) == sorted(map(id, items))
        places = {id(item): place for place, item in enumerate(items)}
        if size == 0:
            assert shuffled == items
        # Nothing can come earlier than the buffer holds it.
        for place, item in enumerate(shuffled):
            assert places[id(item)] <= place + size + 1


def test_large_shares_of_one_shard_do_not_end_a_long_pass_early(
    preset: ImagePreset, tmp_path: Path, make_records: Callable[..., list[Record]]
) -> None:
    """A bad shard at the start is a small share of the whole pass, so the pass goes on."""
    with ShardWriter(tmp_path / "long", samples_per_shard=4) as writer:
        for record in make_records(80):
            writer.write(record)
    (tmp_path / "long" / "00000.tar").write_bytes(b"")
    data = ShardStream(
        tmp_path / "long", preset, batch_size=8, training=False, max_lost_share=0.06, minimum_seen=1
    )
    assert len(keys_of(list(data.epoch(0)))) == 76


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_live_on_when_the_process_group_is_signalled(
    stream: Callable[..., ShardStream], number: signal.Signals
) -> None:
    alone = [batch.key for batch in stream(workers=2, batch_size=2).epoch(0)]
    seen: list[tuple[str, ...]] = []
    for batch in stream(workers=2, batch_size=2, start_method="fork").epoch(0):
        if not seen:
            children = multiprocessing.active_children()
            assert len(children) == 2
            for child in children:
                assert child.pid is not None
                os.kill(child.pid, number)
        seen.append(batch.key)
    assert seen == alone
