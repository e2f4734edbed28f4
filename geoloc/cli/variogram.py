"""`geoloc variogram`: how dissimilarity grows with distance; `geoloc variogram compare`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

from geoloc.cli.command import Commands, say
from geoloc.cli.model_arguments import add_model_arguments
from geoloc.errors import ConfigError

_EPILOG = """\
examples:
  geoloc variogram data/features/ca45…-ec36… --out out/backbone      a cache of features
  geoloc variogram embeddings/val --out out/trained                  a folder of geoloc embed
  geoloc variogram data/tiles/val --run runs/demo --out out/val      shards, embedded by a run
  geoloc variogram wells.csv --column depth_m --out out/wells        a number at places
  geoloc variogram meuse.csv --column zinc --metric euclidean --unit m --even 1500 --bins 15 \\
      --model spherical --model exponential --out out/zinc           in the plane
  geoloc variogram compare out/backbone out/trained --out both.png
"""


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "variogram",
        help="measure how dissimilarity grows with distance",
        description="Estimate the semivariogram of features or of a number, fit a model, and "
        "write DIR/variogram.json, variogram.csv, fit.json and variogram.png. `geoloc variogram "
        "compare A B [--out PNG] [--format json]` sets two such folders side by side.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help="a folder of geoloc embed, a feature cache, an .npz (latlon_deg, values), a .csv or "
        ".parquet (latitude, longitude and --column), or shards with --run; or: compare A B",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write (of compare: the PNG)"
    )
    parser.add_argument(
        "--run", type=Path, dest="run_folder", metavar="RUN", help="whose model embeds shards"
    )
    parser.add_argument("--column", metavar="NAME", help="the number of a table")
    parser.add_argument("--log", action="store_true", help="take its natural logarithm")
    parser.add_argument("--workers", type=int, help="decoding processes for shards")
    _add_lags(parser)
    _add_estimate(parser)
    _add_fit(parser)
    add_model_arguments(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Estimate, or compare, and print the table."""
    return _compare(args) if args.source[0] == "compare" else _estimate(args)


def _add_lags(parser: argparse.ArgumentParser) -> None:
    lags = parser.add_argument_group("lag classes")
    lags.add_argument("--bins", type=int, metavar="COUNT", help="how many (default: 40; plane: 15)")
    lags.add_argument(
        "--first-km",
        "--first",
        type=float,
        dest="first",
        metavar="LAG",
        help="lower edge of logarithmic classes, in --unit (default: 1 km)",
    )
    lags.add_argument(
        "--last-km",
        "--last",
        type=float,
        dest="last",
        metavar="LAG",
        help="upper edge (default: half the Earth's circumference)",
    )
    lags.add_argument(
        "--even", type=float, metavar="MAXIMUM", help="classes of one width from 0 to MAXIMUM"
    )
    lags.add_argument("--edges", metavar="LAG,LAG,...", help="all edges, such as 0,100,200,400")
    lags.add_argument(
        "--metric",
        choices=("great_circle", "euclidean"),
        default="great_circle",
        help="euclidean: x and y (and z) in --unit instead of latitude and longitude",
    )
    lags.add_argument(
        "--unit",
        choices=("km", "m", "pixel", "day", "step"),
        help="of lags (default: km; in the plane it must be named)",
    )


def _add_estimate(parser: argparse.ArgumentParser) -> None:
    part = parser.add_argument_group("estimate")
    part.add_argument(
        "--dissimilarity",
        choices=("cosine", "squared", "absolute"),
        help="default: cosine for vectors, squared for numbers",
    )
    part.add_argument("--estimator", choices=("matheron", "cressie", "median"), default="matheron")
    part.add_argument(
        "--pairs",
        metavar="all|NUMBER",
        help="default: all up to 45,000 samples (a thousand million pairs), else 50 million",
    )
    part.add_argument(
        "--groups", type=int, default=40, help="spatial groups of the jackknife (default: 40)"
    )
    part.add_argument("--seed", type=int, default=0, help="of sampled pairs")


def _add_fit(parser: argparse.ArgumentParser) -> None:
    part = parser.add_argument_group("fit")
    part.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="spherical, exponential, gaussian, stable (default), matern, cubic, nugget, or a sum "
        "such as exponential+spherical; of several the best by AIC",
    )
    part.add_argument(
        "--weights",
        choices=("n", "n/h2", "n/gamma2", "jackknife", "none"),
        default="n/gamma2",
        help="of the classes (default: n/gamma2, errors in proportion to the semivariance)",
    )
    part.add_argument(
        "--lag-metric",
        choices=("chord", "great_circle"),
        help="what the model takes for lag on the sphere (default: chord)",
    )
    part.add_argument(
        "--no-nugget", action="store_false", dest="nugget", help="fix the nugget to 0"
    )
    part.add_argument(
        "--max-lag",
        type=float,
        metavar="LAG",
        help="leave classes beyond out of the fit (default: a quarter of the Earth's "
        "circumference; plane: none)",
    )
    part.add_argument(
        "--min-pairs",
        type=int,
        default=30,
        metavar="COUNT",
        help="leave classes of fewer pairs out of the fit (default: 30)",
    )


def _estimate(args: argparse.Namespace) -> int:
    from geoloc.experiment.variogram_run import (
        BinsRequest,
        FitRequest,
        VariogramRequest,
        run_variogram,
    )
    from geoloc.experiment.variogram_source import SourceRequest

    if len(args.source) > 1:
        raise ConfigError(f"one source at a time, not {len(args.source)}; or: compare A B")
    if args.out is None:
        raise ConfigError("name the folder to write: --out DIR")
    request = VariogramRequest(
        source=SourceRequest(
            source=args.source[0],
            column=args.column,
            log=args.log,
            run_folder=args.run_folder,
            metric=args.metric,
            device=args.device,
            workers=args.workers,
            backbone_weights=args.backbone_weights,
        ),
        out=args.out,
        bins=BinsRequest(
            count=args.bins,
            first=args.first,
            last=args.last,
            even=args.even,
            edges=_edges(args.edges),
            unit=args.unit,
        ),
        dissimilarity=args.dissimilarity,
        estimator=args.estimator,
        pairs=_pairs(args.pairs),
        fit=FitRequest(
            models=tuple(args.model or ("stable",)),
            weights=args.weights,
            lag_metric=args.lag_metric,
            nugget=args.nugget,
            max_lag=args.max_lag,
            min_pairs=args.min_pairs,
        ),
        groups=args.groups,
        device=args.device,
        seed=args.seed,
    )
    result = run_variogram(request, say=say)
    print(_json(result.to_json()) if args.format == "json" else result.to_text())
    return 0


def _compare(args: argparse.Namespace) -> int:
    from geoloc.experiment.variogram_compare import compare_variograms

    if len(args.source) != 3:
        raise ConfigError("write: geoloc variogram compare A B [--out PNG]")
    one, other = (Path(name) for name in args.source[1:])
    if args.out is not None and args.out.suffix.lower() != ".png":
        raise ConfigError(f"--out {args.out}: the overlay of two variograms is a .png")
    comparison = compare_variograms(one, other, picture=args.out)
    print(_json(comparison.to_json()) if args.format == "json" else comparison.to_text())
    return 0


def _pairs(text: str | None) -> Literal["all"] | int | None:
    """How many pairs: all, or a number, which may be written 5e7.

    Raises:
        ConfigError: it is neither.
    """
    if text is None:
        return None
    if text == "all":
        return "all"
    try:
        number = float(text.replace("_", "").replace(",", ""))
        if number >= 1 and number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise ConfigError(f"--pairs {text}: all, or a whole number of pairs, such as 50000000 or 5e7")


def _edges(text: str | None) -> tuple[float, ...] | None:
    """Lags between commas.

    Raises:
        ConfigError: one of them is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--edges {text}: lags between commas, such as 0,100,200,400") from None


def _json(tree: object) -> str:
    return json.dumps(tree, indent=2, allow_nan=False, ensure_ascii=False)
