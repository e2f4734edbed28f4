"""Two semivariograms side by side: class by class, and their fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import DataError, MismatchError
from geoloc.experiment.variogram_run import FIT, VARIOGRAM
from geoloc.experiment.variogram_text import aligned, even_decimals
from geoloc.geostatistics.files import load_variogram
from geoloc.geostatistics.summary import jackknife_error
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz import draw_variogram_comparison
from geoloc.viz.variogram_words import fit_name, number, parameter_words

_MUST_AGREE = ("unit", "metric", "dissimilarity", "estimator")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VariogramDifference:
    """Two variograms in the lag classes that both have.

    Attributes:
        bin: number of each common class.
        lag: its mean lag, of the first variogram.
        one, other: semivariances.
        difference: the second less the first.
        standard_error: of the difference, by the jackknife; NaN without groups.
        paired: whether the groups of both are the same samples, so that the error is of the
            differences themselves; else both count as independent.
    """

    bin: Int64[np.ndarray, " class"]
    lag: Float64[np.ndarray, " class"]
    one: Float64[np.ndarray, " class"]
    other: Float64[np.ndarray, " class"]
    difference: Float64[np.ndarray, " class"]
    standard_error: Float64[np.ndarray, " class"]
    paired: bool

    @property
    def z(self) -> Float64[np.ndarray, " class"]:
        """Difference over its standard error; NaN where that is not known, or 0."""
        return self.difference / np.where(self.standard_error > 0, self.standard_error, np.nan)


def difference_of(one: Variogram, other: Variogram) -> VariogramDifference | None:
    """The difference of two variograms by lag class; None where their classes are not the same.

    Of the same places in the same groups the jackknife deletes a group from both at once: what
    moves both curves alike does not blur their difference.

    Raises:
        MismatchError: they differ in the unit of lags, in metric, in dissimilarity, in estimator,
            or (unless they are of cosines) in the length of the features.
    """
    for name in _MUST_AGREE:
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            raise MismatchError(
                f"these variograms do not compare: {name} {mine} and {name} {theirs}"
            )
    lengths = [each.provenance.get("feature_dim") for each in (one, other)]
    if one.dissimilarity != "cosine" and None not in lengths and lengths[0] != lengths[1]:
        raise MismatchError(
            f"these variograms do not compare: features of length {lengths[0]} and {lengths[1]}, "
            "whose differences add up over the length (cosines would compare)"
        )
    if one.bins != other.bins:
        return None
    common, at, to = np.intersect1d(one.bin, other.bin, return_indices=True)
    paired = _same_groups(one, other)
    if paired and one.replicate is not None and other.replicate is not None:
        error = jackknife_error(other.replicate[:, to] - one.replicate[:, at])
    else:
        error = np.hypot(one.standard_error[at], other.standard_error[to])
    # deleting groups does not move a class of one pair: its error is not 0 but unknown
    known = (one.standard_error[at] > 0) & (other.standard_error[to] > 0)
    return VariogramDifference(
        bin=common,
        lag=one.lag[at],
        one=one.semivariance[at],
        other=other.semivariance[to],
        difference=other.semivariance[to] - one.semivariance[at],
        standard_error=np.where(known, error, np.nan),
        paired=paired,
    )


def _same_groups(one: Variogram, other: Variogram) -> bool:
    if one.replicate is None or other.replicate is None:
        return False
    places = one.provenance.get("places")
    return (
        places is not None
        and places == other.provenance.get("places")
        and len(one.replicate) == len(other.replicate)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedVariogram:
    """A variogram that was read, its fit (if there is one), and what to call it."""

    name: str
    variogram: Variogram
    fit: VariogramFit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two variograms and their difference.

    Attributes:
        one, other: what was compared.
        difference: by class; None where the classes differ.
        picture: the overlay, if one was drawn.
    """

    one: NamedVariogram
    other: NamedVariogram
    difference: VariogramDifference | None
    picture: Path | None

    @property
    def notes(self) -> list[str]:
        """What is not the same about the two: source, column, logarithm."""
        about = [part.variogram.provenance for part in self._both()]
        told = [
            {
                "sources": each.get("source") or "none",
                "columns": each.get("column") or "none",
                "logarithms": "taken" if each.get("log") else "not taken",
            }
            for each in about
        ]
        return [
            f"{what} differ: {mine} and {told[1][what]}"
            for what, mine in told[0].items()
            if mine != told[1][what]
        ]

    def to_text(self) -> str:
        """Tables of classes and of parameters."""
        lines = [f"A = {self.one.name}", f"B = {self.other.name}", ""]
        lines += self._classes()
        lines += ["", *self._parameters()]
        lines += [f"note: {words}" for words in self.notes]
        if self.picture is not None:
            lines.append(f"\nwritten: {self.picture}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same as objects of JSON; null where a number is not known."""
        columns = ("lag", "one", "other", "difference", "standard_error", "z")
        difference = self.difference
        return {
            "a": self.one.name,
            "b": self.other.name,
            "unit": self.one.variogram.unit,
            "paired": difference is not None and difference.paired,
            "classes": None
            if difference is None
            else {name: _nullable(getattr(difference, name)) for name in columns},
            "fits": [None if part.fit is None else part.fit.to_json() for part in self._both()],
            "notes": self.notes,
            "picture": None if self.picture is None else str(self.picture),
        }

    def _both(self) -> tuple[NamedVariogram, NamedVariogram]:
        return self.one, self.other

    def _classes(self) -> list[str]:
        difference = self.difference
        if difference is None:
            return ["the lag classes differ: nothing to compare class by class"]
        columns = [
            [number(lag) for lag in difference.lag],
            even_decimals(difference.one),
            even_decimals(difference.other),
            even_decimals(difference.difference, sign="+"),
            even_decimals(difference.standard_error),
            ["-" if np.isnan(z) else f"{z:+.1f}" for z in difference.z],
        ]
        unit = self.one.variogram.unit
        head = (f"lag, {unit}", "A", "B", "B - A", "std. error", "z")
        how = "paired: the places are the same" if difference.paired else "as of independent sets"
        return [*aligned([head, *zip(*columns, strict=True)]), f"(jackknife errors, {how})"]

    def _parameters(self) -> list[str]:
        fits = [part.fit for part in self._both()]
        if all(fit is None for fit in fits):
            return ["no fits beside the variograms"]
        rows: list[tuple[str, ...]] = [("", "A", "B")]
        rows.append(("model", *("-" if fit is None else fit_name(fit) for fit in fits)))
        told = [{} if fit is None else _values(fit) for fit in fits]
        titles = dict.fromkeys(title for values in told for title in values)
        # the parts of a sum, which are numbered, come last
        for title in sorted(titles, key=lambda title: title[2:3].isdigit()):
            rows.append((title, *(values.get(title, "-") for values in told)))
        rows.append(("R2", *("-" if fit is None else f"{fit.r2:.4f}" for fit in fits)))
        return aligned(rows)


def compare_variograms(one: Path, other: Path, *, picture: Path | None) -> Comparison:
    """Read two variograms, compare them, and draw them over one another if asked to.

    Args:
        one: a folder of `run_variogram`, or its variogram.json; a fit.json beside it is read too.
        other: likewise.
        picture: PNG to write.

    Raises:
        DataError: one is missing or damaged.
        MismatchError: as of `difference_of`.
    """
    parts = [_read(path) for path in (one, other)]
    difference = difference_of(parts[0].variogram, parts[1].variogram)
    if picture is not None:
        ends = [Path(part.name).name for part in parts]
        names = ends if ends[0] != ends[1] else [f"A: {parts[0].name}", f"B: {parts[1].name}"]
        named = {name: (part.variogram, part.fit) for name, part in zip(names, parts, strict=True)}
        draw_variogram_comparison(named, picture)
    return Comparison(one=parts[0], other=parts[1], difference=difference, picture=picture)


def _read(path: Path) -> NamedVariogram:
    file = path / VARIOGRAM if path.is_dir() else path
    if not file.exists():
        raise DataError(f"there is no variogram at {path}: geoloc variogram writes {VARIOGRAM}")
    fit = file.with_name(FIT)
    return NamedVariogram(
        name=str(path),
        variogram=load_variogram(file),
        fit=VariogramFit.load(fit) if file.name == VARIOGRAM and fit.is_file() else None,
    )


def _values(fit: VariogramFit) -> dict[str, str]:
    """Value and interval of each parameter by its title."""
    return {
        title: f"{value} ({about})" if about else value
        for title, value, about in parameter_words(fit)
    }


def _nullable(numbers: Float64[np.ndarray, " class"]) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in numbers]
