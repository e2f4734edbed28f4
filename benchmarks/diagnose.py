"""Time and peak memory of `geoloc diagnose` on the fields that come inside packages.

Each field is looked at in a process of its own, so that its peak is its own: seconds of the clock
and of the processor, and the largest resident memory, imports included; beside it the peak of a
process that only reads the field. Seed 0, one thread. Then how often noise is said to have
structure, and how often its autocorrelations leave the bound.

Run: OMP_NUM_THREADS=1 python benchmarks/diagnose.py [FIELDS OF NOISE]
     (needs geoloc[fields])
"""

import json
import subprocess
import sys

import numpy as np

from geoloc.geodesy import sample_sphere
from geoloc.geostatistics.spatial_structure import lags_between, spatial_structure
from geoloc.geostatistics.temporal_structure import temporal_structure

FIELDS = ("package:linke-turbidity", "package:altitude", "package:north-america-temperature")
PLACES, STEPS = 1000, 100

MEASURED = """
import json, resource, sys, tempfile, time
from pathlib import Path
begun = time.perf_counter()
name, whole = sys.argv[1], sys.argv[2] == "whole"
if whole:
    from geoloc.experiment.diagnose_run import DiagnoseRequest, run_diagnose
    with tempfile.TemporaryDirectory() as folder:
        run_diagnose(DiagnoseRequest(sources=(name,), out=Path(folder)), say=lambda line: None)
else:
    from geoloc.data.packaged_fields import read_field
    read_field(name)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "wall": time.perf_counter() - begun,
    "cpu": used.ru_utime + used.ru_stime,
    "peak": used.ru_maxrss / 1024.0,
}))
"""


def measure(name: str, what: str) -> dict[str, float]:
    command = [sys.executable, "-c", MEASURED, name, what]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(told.splitlines()[-1])


def false_structure(fields: int) -> int:
    found = 0
    for seed in range(fields):
        chance = np.random.default_rng(seed)
        places = sample_sphere(PLACES, generator=chance)
        noise = chance.normal(size=(1, PLACES))
        found += spatial_structure(places, noise, bins=lags_between(places)).structured
    return found


def false_memory(series: int) -> float:
    """Mean share of lags at which a series of noise leaves the bound."""
    noise = np.random.default_rng(0).normal(size=(STEPS, series))
    return temporal_structure(noise).outside


def main() -> None:
    fields = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print(f"{'field':<36}{'wall s':>8}{'CPU s':>8}{'peak MiB':>10}{'reading alone MiB':>19}")
    for name in FIELDS:
        whole, alone = measure(name, "whole"), measure(name, "read")
        figures = f"{whole['wall']:8.1f}{whole['cpu']:8.1f}{whole['peak']:10.0f}"
        print(f"{name:<36}{figures}{alone['peak']:19.0f}", flush=True)
    print(
        f"noise at {PLACES:,} places said to be structured: {false_structure(fields)} of {fields}"
    )
    share = false_memory(2000)
    print(f"autocorrelations of noise of {STEPS} steps outside the bound: {share:.1%}")


if __name__ == "__main__":
    main()
