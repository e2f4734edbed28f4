"""What a perfect prediction scores under osv5m-official: the ceiling of its administrative levels.

A true place has the strings of its nearest city for labels; a level whose name the gazetteer lacks
is missing, and with it the finer ones that contain it, as in OSV-5M. `sphere`: the nearest city is
the true nearest, and the protocol's look-up on raw degrees errs beside it. `raw degrees`: labels
come from the same look-up, so that only missing names are left to lose by. Places: even over land;
as uneven as photographs are (GeoCLIP's gallery); near the cities of the gazetteer.

Run: python benchmarks/official_ceiling.py [PLACES]     (needs the package geoclip)
"""

import sys

import numpy as np
import pandas as pd

from geoloc.evaluation import prediction_table, score_table
from geoloc.models.geoclip import gallery_places
from geoloc.places import Gazetteer, even_land_points

LEVELS = ("country", "region", "sub-region", "city")


def labels(places: np.ndarray, metric: str) -> dict[str, np.ndarray]:
    gazetteer = Gazetteer.load()
    city = gazetteer.nearest(places, metric=metric)
    lacks_region, lacks_sub_region = gazetteer.admin1[city] == "", gazetteer.admin2[city] == ""
    lacking = {
        "country": np.zeros(len(places), dtype=bool),
        "region": lacks_region,
        "sub-region": lacks_region | lacks_sub_region,
        "city": lacks_region | lacks_sub_region,
    }
    return {
        f"unique_{level}": np.where(lacking[level], "NaN", names)
        for level, names in gazetteer.levels(city).items()
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    generator, gazetteer = np.random.default_rng(0), Gazetteer.load()
    near = gazetteer.latlon_deg[generator.choice(len(gazetteer), count, replace=False)]
    gallery = np.unique(gallery_places(), axis=0)
    samples = {
        "even over land": even_land_points(count),
        "GeoCLIP's gallery": gallery[generator.choice(len(gallery), count, replace=False)],
        "near cities": (near + generator.normal(0, 0.05, near.shape)).clip([-90, -180], [90, 180]),
    }
    print(f"{'places':18} {'labels by':12} {'n':>6} " + " ".join(f"{x:>10}" for x in LEVELS))
    for name, places in samples.items():
        for metric in ("sphere", "raw_degrees"):
            frame = pd.DataFrame(
                {
                    "key": [str(row) for row in range(len(places))],
                    "true_lat_deg": places[:, 0],
                    "true_lon_deg": places[:, 1],
                    "pred_lat_deg": places[:, 0],
                    "pred_lon_deg": places[:, 1],
                    **labels(places, metric),
                }
            )
            (scores,) = score_table(prediction_table(frame), ["osv5m-official"], resamples=0)
            perfect = scores.ceilings["perfect_prediction"]
            cells = " ".join(f"{100 * perfect[f'Accuracy_{level}']:10.1f}" for level in LEVELS)
            print(f"{name:18} {metric.replace('_', ' '):12} {len(places):6} {cells}")


if __name__ == "__main__":
    main()
