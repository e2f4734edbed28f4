"""The result of `geoloc cells` as a table for a terminal."""

from __future__ import annotations

from geoloc.experiment.cells_run import CellsResult

_SHOWN = ("accuracy@25km", "accuracy@200km", "accuracy@750km", "accuracy@2500km", "median_km")


def cells_table(result: CellsResult) -> str:
    """Sizes and variances of each partition, then its classifier's scores on each test split."""
    made = "no clusters" if result.clusters is None else f"{result.clusters} clusters"
    lines = [f"{made}, {100 * result.noise_share:.1f} % of the places in none", ""]
    lines.append(
        f"{'partition':<14}{'cells':>6}{'places a cell':>15}{'evenness':>10}{'within':>8}"
        f"{'spread km':>11}"
    )
    for name, worth in result.worth.items():
        size = f"{worth.smallest}-{worth.largest}"
        lines.append(
            f"{name:<14}{worth.cells:>6}{size:>15}{worth.evenness:>10.3f}"
            f"{worth.within_variance:>8.3f}{worth.spread_km:>11.0f}"
        )
    for split, by_name in result.metrics.items():
        heads = [metric.removeprefix("accuracy") for metric in _SHOWN]
        lines += ["", f"{split:<14}" + "".join(f"{head:>12}" for head in heads)]
        for name, metrics in by_name.items():
            means = (
                f"{metrics[m].mean():>12.0f}"
                if m == "median_km"
                else f"{100 * metrics[m].mean():>12.1f}"
                for m in _SHOWN
            )
            lines.append(f"{name:<14}" + "".join(means))
    return "\n".join(lines)
