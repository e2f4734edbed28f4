"""A run of pseudo-labels: kriging, forest and network at held-out stations, with and without."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from geoloc.artifacts import write_json
from geoloc.data.station_series import StationSeries
from geoloc.downstream import (
    ForestSettings,
    LabelledRows,
    NetworkSettings,
    PseudoLabels,
    StationScores,
    fit_regressor,
    krige_steps,
    mean_interval,
    station_scores,
)
from geoloc.experiment.build import Say
from geoloc.experiment.loading import section_hash
from geoloc.experiment.pseudo_label_data import (
    Parts,
    all_covariates,
    cut_images,
    draw_parts,
    load_series,
)
from geoloc.experiment.pseudo_label_schema import PseudoLabelConfig
from geoloc.experiment.run_directory import software
from geoloc.geostatistics import VariogramFit, fit_for_kriging, pooled_variogram
from geoloc.viz import draw_station_maps

SCHEMA_VERSION = 1
KRIGING, FOREST, BOTH = "kriging", "forest", "forest + network"
WITH = ", pseudo-labels"
METHODS = (KRIGING, FOREST, FOREST + WITH, BOTH, BOTH + WITH)
MEASURES = ("rmse", "pearson", "spatial_r")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PseudoLabelResult:
    """What a run found.

    Attributes:
        told: what the run was on.
        scores: by method and measure one value a seed.
        out: the folder that holds the files.
    """

    told: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, list[float]]]
    out: Path

    def interval(self, method: str, measure: str) -> tuple[float, float, float]:
        """Mean over seeds and its 95 % interval."""
        return mean_interval(np.array(self.scores[method][measure]))

    def scores_json(self) -> dict[str, dict[str, list[float | None]]]:
        """The scores as JSON can hold them: None for a correlation of what is constant."""
        return {
            method: {
                measure: [None if math.isnan(each) else each for each in values]
                for measure, values in measures.items()
            }
            for method, measures in self.scores.items()
        }

    def gain(self, measure: str, *, of: str) -> tuple[float, float, float]:
        """What pseudo-labels change, seed by seed: mean and 95 % interval."""
        after, before = (np.array(self.scores[each][measure]) for each in (of + WITH, of))
        return mean_interval(after - before)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    """What one seed gave."""

    parts: Parts
    fit: VariogramFit
    pseudo: PseudoLabels
    estimate: Mapping[str, Float64[np.ndarray, "tested time"]]
    scores: Mapping[str, StationScores]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    """What all seeds share."""

    config: PseudoLabelConfig
    series: StationSeries
    covariate: Float64[np.ndarray, "place time covariate"]
    images: UInt8[np.ndarray, "place pixels pixels 3"]

    def draw(self, seed: int) -> _Draw:
        """Deal the places out, krige, learn, and judge."""
        parts = draw_parts(self.series, self.config, seed)
        fit, (kriged, pseudo) = self._krige(parts)
        measured = self._rows(
            parts.stations,
            self.series.value[parts.stations],
            self.series.known[parts.stations].astype(np.float64),
        )
        guessed = self._rows(parts.unlabelled, pseudo.value, pseudo.weights(self.config.trust))
        estimate = {
            KRIGING: kriged.value,
            **self._learned(parts, measured, seed, ""),
            **self._learned(parts, measured.joined(guessed), seed, WITH),
        }
        truth = self.series.value[parts.tested]
        # all methods are judged where all have an answer
        all_answer = np.all([np.isfinite(each) for each in estimate.values()], axis=0)
        truth = np.where(all_answer, truth, np.nan)
        scores = {name: station_scores(each, truth) for name, each in estimate.items()}
        return _Draw(parts=parts, fit=fit, pseudo=pseudo, estimate=estimate, scores=scores)

    def _krige(self, parts: Parts) -> tuple[VariogramFit, tuple[PseudoLabels, PseudoLabels]]:
        settings = self.config.kriging
        places = self.series.latlon_deg[parts.stations]
        value = self.series.value[parts.stations]
        curve = pooled_variogram(
            places, value, classes=settings.classes, max_lag=settings.max_lag_km
        )
        fit = fit_for_kriging(curve, (settings.model,), max_lag=settings.max_lag_km)[0]
        tested, unlabelled = (
            krige_steps(
                places, value, self.series.latlon_deg[at], fit, neighbours=settings.neighbours
            )
            for at in (parts.tested, parts.unlabelled)
        )
        return fit, (tested, unlabelled)

    def _rows(self, at: np.ndarray, value: np.ndarray, weight: np.ndarray) -> LabelledRows:
        used = self.series.usable[at] & np.isfinite(value) & (weight > 0)
        place = np.broadcast_to(at[:, None], value.shape)
        return LabelledRows(
            place=place[used],
            covariate=self.covariate[at][used],
            value=value[used],
            weight=weight[used],
        )

    def _learned(
        self, parts: Parts, rows: LabelledRows, seed: int, suffix: str
    ) -> dict[str, np.ndarray]:
        model = fit_regressor(
            self.images,
            rows,
            forest=ForestSettings(**self.config.forest.model_dump()),
            network=NetworkSettings(**self.config.network.model_dump()),
            seed=seed,
        )
        asked = self.series.usable[parts.tested]
        place = np.broadcast_to(parts.tested[:, None], asked.shape)[asked]
        found = model.predict(self.images, place, self.covariate[parts.tested][asked])
        filled: dict[str, np.ndarray] = {}
        for name, answer in zip((FOREST, BOTH), found, strict=True):
            filled[name + suffix] = np.full(asked.shape, np.nan)
            filled[name + suffix][asked] = answer
        return filled


def run_pseudo_labels(config: PseudoLabelConfig, *, out: Path, say: Say) -> PseudoLabelResult:
    """Compare the methods over all seeds; write ``result.json`` and ``pseudolabels.png``.

    Raises:
        ConfigError: a package is missing, or there are too few places.
        DataError: the stations cannot be read, or give no variogram.
    """
    series = load_series(config)
    covariate, names = all_covariates(series, longitude=config.longitude)
    task = _Task(
        config=config, series=series, covariate=covariate, images=cut_images(series, config)
    )
    say(f"{series.name}: {len(series.station)} places, {len(series.time_day)} times")
    draws: list[_Draw] = []
    for number, seed in enumerate(config.seeds):
        draws.append(task.draw(seed))
        best = draws[-1].scores[BOTH + WITH]
        say(f"{number + 1}/{len(config.seeds)}  seed {seed}: RMSE {best.rmse:.3f}")
    first = draws[0]
    result = PseudoLabelResult(
        told=_told(series, names, first),
        scores={
            method: {
                measure: [float(asdict(each.scores[method])[measure]) for each in draws]
                for measure in MEASURES
            }
            for method in METHODS
        },
        out=out,
    )
    write_json(out / "result.json", _as_json(config, result))
    _draw(series, first, out / "pseudolabels.png")
    return result


def _told(series: StationSeries, names: tuple[str, ...], first: _Draw) -> dict[str, Any]:
    (structure,) = first.fit.structures
    return {
        "field": series.name,
        "unit": series.unit,
        "steps": len(series.time_day),
        "stations": len(first.parts.stations),
        "tested": len(first.parts.tested),
        "unlabelled": len(first.parts.unlabelled),
        "covariates": list(names),
        "variogram": {
            "model": first.fit.model,
            "nugget": first.fit.nugget,
            "partial_sill": structure.partial_sill,
            "scale_km": structure.scale,
        },
    }


def _as_json(config: PseudoLabelConfig, result: PseudoLabelResult) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "provenance": {
            **software("scikit-learn"),
            "seeds": list(config.seeds),
            "config_hash": section_hash(config),
            "config": config.model_dump(mode="json"),
        },
        **result.told,
        "scores": result.scores_json(),
    }


def _draw(series: StationSeries, first: _Draw, path: Path) -> None:
    parts = first.parts
    draw_station_maps(
        path,
        title=f"{series.name}: stations, pseudo-labels, and estimates at held-out stations",
        measured=series.name if series.unit == "1" else f"{series.name}, {series.unit}",
        stations=(series.latlon_deg[parts.stations], np.nanmean(series.value[parts.stations], 1)),
        unlabelled=(
            series.latlon_deg[parts.unlabelled],
            np.nanmean(first.pseudo.value, axis=1),
        ),
        truth=series.value[parts.tested],
        estimates={name: first.estimate[name] for name in (KRIGING, BOTH, BOTH + WITH)},
    )
