"""What the picture of `geoloc krige` shows: of several times the one that most stations have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from geoloc.experiment.krige_curve import KrigeCurve
from geoloc.experiment.krige_output import Estimated
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.experiment.krige_validation import CHECK_NAMES
from geoloc.geostatistics import KrigedSteps
from geoloc.viz import KrigedPicture, draw_kriged
from geoloc.viz.variogram_words import fit_name, number, range_words

_MOST_CHECKS = 3


def draw_run(
    path: Path,
    found: Estimated,
    curve: KrigeCurve,
    pairs: Mapping[str, tuple[KrigedSteps, np.ndarray]],
) -> None:
    """Write the picture of a run.

    Args:
        path: of the PNG.
        found: what was kriged.
        curve: under which semivariogram.
        pairs: estimates and what was measured, by the kind of check; the last three are drawn.
    """
    data, targets, kriged = found.data, found.targets, found.kriged
    known = np.isfinite(data.stations.value)
    step = int(np.argmax(known.sum(axis=0)))
    estimate, error = kriged.value[:, step], np.sqrt(kriged.variance[:, step])
    there, labels = known[:, step], data.time_labels()
    when = f", {labels[step]}" if labels else ""
    several = f" (of {len(labels)} times; checks: all)" if len(labels) > 1 else ""
    shown = dict(list(pairs.items())[-_MOST_CHECKS:])
    picture = KrigedPicture(
        title=f"{data.name}{when}: kriging from {int(there.sum()):,} stations{several}",
        subtitle=_told(found.config, curve),
        measured=data.measured,
        sphere=data.sphere,
        stations=data.stations.places[there][:, :2],
        measurement=data.stations.value[there, step],
        targets=targets.places[:, :2],
        estimate=estimate,
        standard_error=error,
        axes=targets.axes,
        checks={
            CHECK_NAMES[kind]: (truth.ravel(), each.value.ravel())
            for kind, (each, truth) in shown.items()
        },
    )
    draw_kriged(picture, path)


def _told(config: KrigeConfig, curve: KrigeCurve) -> str:
    fit, wanted = curve.fit, config.kriging
    mean = "ordinary" if wanted.mean is None else f"simple (mean {wanted.mean:g})"
    near = "all stations" if wanted.neighbours is None else f"the {wanted.neighbours} nearest"
    return (
        f"{fit_name(fit)}: nugget {number(fit.nugget)}, sill {number(fit.sill)}, effective range "
        f"{range_words(fit)}; {mean} kriging from {near}, {wanted.at_data} at data"
    )
