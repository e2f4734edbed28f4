from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from geoloc.errors import CheckpointError, ConfigError, DataError
from geoloc.geodesy import sample_sphere
from geoloc.negatives.bank import FeatureBank
from geoloc.ranks import Ranks


def samples(keys, *, seed: int = 0, features: int = 8):
    """Places and features of some keys."""
    random = np.random.default_rng([seed, len(keys)])
    latlon = torch.from_numpy(sample_sphere(len(keys), generator=random))
    feature = torch.from_numpy(random.normal(size=(len(keys), features))).float() * 10.0
    return list(keys), latlon, feature


def unit(feature: torch.Tensor) -> torch.Tensor:
    return feature / feature.norm(dim=1, keepdim=True)


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=8),
    gather=st.sampled_from([0, 5, 10_000]),
)
def test_it_holds_what_came_last_of_each_key_in_the_order_of_first_coming(batches, gather):
    bank = FeatureBank(dtype=torch.float32, gather=gather)
    truth: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for number, batch in enumerate(batches):
        keys, latlon, feature = samples([f"key {k}" for k in batch], seed=number)
        bank.put(keys, latlon, feature)
        for key, place, row in zip(keys, latlon, unit(feature), strict=True):
            truth[key] = (place, row)
    held = bank.rows()
    assert held.key == tuple(truth)
    assert len(bank) == len(truth)
    for row, key in enumerate(held.key):
        assert torch.equal(torch.from_numpy(held.latlon_deg[row]), truth[key][0])
        torch.testing.assert_close(held.feature[row], truth[key][1])


def test_lookup_sees_what_still_waits_and_tells_the_unknown():
    bank = FeatureBank(dtype=torch.float32, gather=10_000)
    keys, latlon, feature = samples(["a", "b", "c"])
    bank.put(keys, latlon, feature)
    found = bank.lookup(["c", "nobody", "a"])
    torch.testing.assert_close(found[[0, 2]], unit(feature)[[2, 0]])
    assert bool(found[1].isnan().all())
    assert FeatureBank().lookup(["a"]).shape == (1, 0)


def test_it_grows_past_its_first_room_and_keeps_all():
    bank = FeatureBank(dtype=torch.float32, gather=100)
    keys, latlon, feature = samples([f"k{i}" for i in range(3000)])
    for start in range(0, 3000, 70):
        part = slice(start, start + 70)
        bank.put(keys[part], latlon[part], feature[part])
    torch.testing.assert_close(bank.lookup(keys), unit(feature))
    assert np.array_equal(bank.rows().latlon_deg, latlon.numpy())


def test_what_the_caller_writes_afterwards_does_not_reach_the_bank():
    bank = FeatureBank(dtype=torch.float32)
    keys, latlon, feature = samples(["a", "b"])
    bank.put(keys, latlon, feature)
    before = latlon.clone(), unit(feature)
    latlon.zero_()
    feature.zero_()
    assert np.array_equal(bank.rows().latlon_deg, before[0].numpy())
    torch.testing.assert_close(bank.lookup(keys), before[1])


def test_half_precision_halves_the_memory_and_keeps_large_features_to_a_thousandth():
    bank = FeatureBank()
    keys, latlon, feature = samples(["a", "b"])
    bank.put(keys, latlon, feature * 1e6)
    assert bank.rows().feature.dtype == torch.float16
    torch.testing.assert_close(bank.lookup(keys), unit(feature), atol=1e-3, rtol=0.0)


def test_a_checkpoint_holds_it(tmp_path: Path):
    bank = FeatureBank()
    keys, latlon, feature = samples(["a", "Žofín/7", "", "東京"])
    bank.put(keys, latlon, feature)
    save_file(bank.state_dict(), tmp_path / "bank.safetensors")
    again = FeatureBank()
    again.put(*samples(["other"], features=3))
    again.load_state_dict(load_file(tmp_path / "bank.safetensors"))
    assert again.rows().key == tuple(keys)
    assert torch.equal(again.rows().feature, bank.rows().feature)
    assert np.array_equal(again.rows().latlon_deg, latlon.numpy())
    for both in (bank, again):
        both.put(*samples(["東京", "new"], seed=1))
    assert torch.equal(again.lookup(["東京", "new", "a"]), bank.lookup(["東京", "new", "a"]))


def test_an_empty_bank_is_saved_and_loaded_too():
    again = FeatureBank()
    again.load_state_dict(FeatureBank().state_dict())
    assert len(again) == 0
    again.put(*samples(["a"]))
    assert again.rows().key == ("a",)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="float16"):
        FeatureBank(dtype=torch.int32)
    bank = FeatureBank()
    keys, latlon, feature = samples(["a", "b"])
    with pytest.raises(DataError, match="1 keys"):
        bank.put(keys[:1], latlon, feature)
    bank.put(keys, latlon, feature)
    with pytest.raises(DataError, match="length 8"):
        bank.put(*samples(["c"], features=9))
    with pytest.raises(CheckpointError, match="no bank"):
        bank.load_state_dict({})
    with pytest.raises(CheckpointError, match="float16"):
        FeatureBank(dtype=torch.float32).load_state_dict(bank.state_dict())
    state = bank.state_dict()
    with pytest.raises(CheckpointError, match="damaged"):
        bank.load_state_dict(state | {"feature": state["feature"][:1]})


def test_alone_there_is_nothing_to_gather():
    bank = FeatureBank()
    bank.put(*samples(["a", "b"]))
    before = bank.rows()
    bank.share(Ranks())
    assert bank.rows().key == before.key
    assert torch.equal(bank.rows().feature, before.feature)


def _rank(rank: int, file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    bank = FeatureBank(dtype=torch.float32)
    seen = []
    # In the first epoch only rank 1 sees samples; then each sees some that the other saw before.
    for epoch, (mine, theirs) in enumerate([("", "abcde"), ("abf", "cde"), ("cde", "fab")]):
        keys = theirs if rank else mine
        if keys:
            bank.put(*samples(keys, seed=10 * epoch + rank))
        bank.share(Ranks.joined())
        held = bank.rows()
        seen.append((held.key, held.latlon_deg.tolist(), held.feature.clone()))
    torch.save(seen, f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_ranks_share_their_newest_rows(tmp_path: Path):
    mp.start_processes(
        _rank, (str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2, start_method="spawn"
    )
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for (key, place, feature), (key2, place2, feature2) in zip(one, other, strict=True):
        assert key == key2
        assert place == place2
        assert torch.equal(feature, feature2)
    assert [len(key) for key, _, _ in one] == [5, 6, 6]
    key, place, feature = one[-1]
    for keys, seed in (("cde", 20), ("fab", 21)):
        _, latlon, put = samples(keys, seed=seed)
        at = [key.index(k) for k in keys]
        assert [place[a] for a in at] == latlon.tolist()
        torch.testing.assert_close(feature[at], unit(put))
