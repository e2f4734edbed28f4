"""The Triton kernel against the tiles in torch: through the interpreter, compiled, and on a GPU.

Triton chooses between compiling and interpreting when it is imported, so both are done by this file
run as a program (see the end), each in a process of its own.
"""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geostatistics.dissimilarity import ValueBins
from geoloc.geostatistics.features import Block
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.sums import COUNT, LAG, PairSums
from geoloc.geostatistics.tiles_torch import TorchTiles

pytest.importorskip("triton", minversion="3.7")

GLOBE = LagBins.logarithmic(9, 0.5, 20016.0)
LAGS_M = (1, 1e3, 1e6, 15e6, 20015086.5)
COUNT_OF_SAMPLES = 150
PLANE = LagBins(edges=[0.0, 1.0, 2.0, 5.0, 20.0], unit="m")
# name: bins, dissimilarity, features, dtype, groups
CASES = {
    "globe": (GLOBE, "squared", 40, torch.float32, 3),
    "absolute": (GLOBE, "absolute", 24, torch.float32, 1),
    "bfloat16": (GLOBE, "cosine", 72, torch.bfloat16, 2),
    "half": (PLANE, "squared", 24, torch.float16, 2),
    "plane": (PLANE, "squared", 33, torch.float32, 5),
    "scalar": (PLANE, "absolute", 1, torch.float32, 2),
    "scattered": (GLOBE, "squared", 24, torch.float32, 4),
    "double": (PLANE, "squared", 8, torch.float64, 2),
}

TWICE = ("globe", "scattered")


def sums_of(name, device="cpu", scale=4.0):
    bins, dissimilarity, _, _, groups = CASES[name]
    return PairSums(
        bins,
        dissimilarity=dissimilarity,
        metric="great_circle" if bins is GLOBE else "euclidean",
        roots=True,
        group_count=groups,
        value_bins=ValueBins(scale=scale),
        device=device,
    )


def block_of(name, count, device="cpu"):
    """Samples whose features are eighths: their products are exact, summed in any order."""
    bins, _, width, dtype, groups = CASES[name]
    random = np.random.default_rng(len(name))
    if bins is GLOBE:
        places = np.stack([random.uniform(20, 60, count), random.uniform(-150, -60, count)], axis=1)
        places[1::7] = places[0]
        places[2] = [-places[0, 0], places[0, 1] + 180]
        places[3] = places[0] + [1e-5, 0]
    else:
        places = random.integers(0, 12, (count, 2)).astype(np.float64)
    value = torch.from_numpy(random.integers(-16, 17, (count, width)) / 8)
    value[5] = value[4]
    # uneven groups, in order or not
    group = np.minimum(random.geometric(0.4, count) - 1, groups - 1)
    group = group if name == "scattered" else np.sort(group)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return Block(
        position=sums_of(name).separation.positions(places).to(device),
        value=value.to(dtype).to(device),
        half=(value.square().sum(dim=1) / 2).to(wide).to(device),
        group=torch.from_numpy(group).to(device),
    )


def add_both_kinds_of_tile(tiles, block):
    """All pairs of a block: within its first rows, within the others, and across."""
    cut = max(2 * len(block) // 5, 1)
    first, rest = block.part(slice(cut)), block.part(slice(cut, None))
    tiles.add_tile(first, first, same=True)
    tiles.add_tile(rest, first, same=False)
    tiles.add_tile(rest, rest, same=True)
    tiles.finish()


def wide(block):
    """With the same features in float32: torch rounds a product of bfloat16 to bfloat16."""
    if block.value.dtype == torch.float64:
        return block
    return replace(block, value=block.value.float())


def run_as_program(*given, interpret):
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "TRITON_INTERPRET": str(int(interpret))}
    done = subprocess.run(
        [sys.executable, __file__, *map(str, given)],
        cwd=root, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """Moments and histogram of each case, of two runs."""
    file = tmp_path_factory.mktemp("triton") / "sums.npz"
    run_as_program("interpret", file, interpret=True)
    return np.load(file)


@pytest.mark.parametrize("name", CASES)
def test_interpreter_agrees_with_torch(name, interpreted):
    expected = sums_of(name)
    block = block_of(name, COUNT_OF_SAMPLES)
    add_both_kinds_of_tile(TorchTiles(expected), wide(block))
    assert expected.pair_count == COUNT_OF_SAMPLES * (COUNT_OF_SAMPLES - 1) // 2
    moments = interpreted[f"{name} moments 0"]
    assert np.array_equal(moments[..., COUNT], expected.moments[..., COUNT].numpy())
    assert np.array_equal(interpreted[f"{name} histogram 0"], expected.histogram.numpy())
    np.testing.assert_allclose(moments, expected.moments.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", TWICE)
def test_two_runs_give_the_same_bits(name, interpreted):
    for what in ("moments", "histogram"):
        assert np.array_equal(interpreted[f"{name} {what} 0"], interpreted[f"{name} {what} 1"])


def test_programs_may_run_a_few_at_a_time(interpreted):
    """Where the sums of all would take too much memory at once."""
    whole, parts = interpreted["plane moments 0"], interpreted["in parts"]
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


@pytest.mark.parametrize("lag_m", LAGS_M)
def test_lag_of_one_pair(lag_m, interpreted):
    """Within 1 mm and 1e-6 of the truth, from a metre to near the antipode."""
    assert interpreted[f"lag {lag_m:g}"] == pytest.approx(lag_m, rel=1e-6, abs=1e-3)


def test_vanishing_and_huge_dissimilarities_are_in_proportion(interpreted):
    """A scale of 2**100 loses nothing, though squares are then beyond float32."""
    units = 2.0 ** (100 * np.array([0.0, 0.0, 1.0, 2.0, 0.25]))
    np.testing.assert_allclose(interpreted["huge"], interpreted["globe moments 0"] * units, 1e-6)


def test_needs_a_gpu_or_the_interpreter():
    from geoloc.geostatistics.tiles_triton import TritonTiles

    if os.environ.get("TRITON_INTERPRET") != "1":
        with pytest.raises(ConfigError, match="CUDA"):
            TritonTiles(sums_of("globe"))


def test_compiles_for_a_hopper_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    told = run_as_program("compile", interpret=False).split()
    assert told == [
        *("globe:fma.rn.f32", "absolute:fma.rn.f32"),
        *("bfloat16:wgmma", "half:wgmma", "scalar:plain"),
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gpu_agrees_with_torch(dtype, monkeypatch):
    from geoloc.geostatistics.tiles_triton import TritonTiles

    monkeypatch.setitem(CASES, "large", (GLOBE, "squared", 512, dtype, 6))
    block = block_of("large", 5000, "cuda")
    expected, first, again = (sums_of("large", "cuda") for _ in range(3))
    add_both_kinds_of_tile(TorchTiles(expected), wide(block))
    for sums in (first, again):
        add_both_kinds_of_tile(TritonTiles(sums), block)
    assert torch.equal(first.moments, again.moments)
    assert torch.equal(first.histogram, again.histogram)
    assert torch.equal(first.moments[..., COUNT], expected.moments[..., COUNT])
    assert torch.equal(first.histogram, expected.histogram)
    torch.testing.assert_close(first.moments, expected.moments, rtol=1e-6, atol=0)


def sums_by_triton(sums, block):
    from geoloc.geostatistics.tiles_triton import TritonTiles

    add_both_kinds_of_tile(TritonTiles(sums), block)
    return sums


def interpret(file):
    """Write to a file what the interpreter finds."""
    found = {}
    for name in CASES:
        for run in range(1 + (name in TWICE)):
            sums = sums_by_triton(sums_of(name), block_of(name, COUNT_OF_SAMPLES))
            found[f"{name} moments {run}"] = sums.moments.numpy()
            found[f"{name} histogram {run}"] = sums.histogram.numpy()
    block = block_of("globe", COUNT_OF_SAMPLES)
    huge = replace(block, value=block.value * 2.0**50, half=block.half * 2.0**100)
    sums = sums_by_triton(sums_of("globe", scale=2.0**102), huge)
    found["huge"] = sums.moments.numpy()
    for lag_m in LAGS_M:
        sums = PairSums(LagBins(edges=[0, 3e7], unit="m"))
        degrees = math.degrees(lag_m / sums.separation.radius)
        places = np.array([[0.0, -90.0], [0.0, degrees - 90.0]])
        block = Block(
            position=sums.separation.positions(places),
            value=torch.eye(2),
            half=torch.full((2,), 0.5),
            group=torch.zeros(2, dtype=torch.int64),
        )
        found[f"lag {lag_m:g}"] = sums_by_triton(sums, block).total()[:, LAG].sum()
    from geoloc.geostatistics import tiles_triton

    tiles_triton._PARTIAL_BYTES = 1
    parts = sums_by_triton(sums_of("plane"), block_of("plane", COUNT_OF_SAMPLES))
    np.savez(file, **found, **{"in parts": parts.moments.numpy()})


class Hopper:
    """As much of a driver as compiling takes."""

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


class CompileOnly:
    """Takes the kernel's place, and compiles instead of running."""

    def __init__(self, kernel, dtype):
        self.kernel, self.dtype, self.assembler = kernel, dtype, ""

    def __getitem__(self, grid):
        return self.compile

    def compile(self, sides, tables, sums, compiled, **launch):
        import triton.language as tl

        # on the CPU the side was made float32
        sides = type(sides)(*(side._replace(value=side.value.to(self.dtype)) for side in sides))
        compiled = compiled._replace(depth=tl.constexpr(128 // self.dtype.itemsize))
        made = self.kernel.warmup(sides, tables, sums, compiled, grid=(1,), **launch)
        assert len(made.asm["cubin"]) > 1000
        self.assembler = made.asm["ptx"]


def compile_for_hopper():
    """Print which instructions multiply features."""
    import triton

    triton.runtime.driver.set_active(Hopper())
    from geoloc.geostatistics import tiles_triton

    kernel = tiles_triton.add_chunks
    for name in ("globe", "absolute", "bfloat16", "half", "scalar"):
        only = tiles_triton.add_chunks = CompileOnly(kernel, CASES[name][3])
        block = block_of(name, COUNT_OF_SAMPLES)
        tiles_triton.TritonTiles(sums_of(name)).add_tile(block, block, same=True)
        # a separation is rounded as torch rounds it
        assert "fma.rn.f64" not in only.assembler
        used = [word for word in ("wgmma", "fma.rn.f32") if word in only.assembler]
        print(f"{name}:{used[0] if used else 'plain'}")  # noqa: T201


if __name__ == "__main__":
    import jaxtyping

    with jaxtyping.install_import_hook("geoloc", "beartype.beartype"):
        {"interpret": interpret, "compile": compile_for_hopper}[sys.argv[1]](*sys.argv[2:])
