"""A page on what a semivariogram calls false and hard: picture, numbers, and pairs to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from geoloc.artifacts import write_text
from geoloc.errors import DataError
from geoloc.negatives.flag_ledger import FlaggedPair
from geoloc.negatives.flag_zone import FlagKind
from geoloc.viz.html_page import data_uri, html_page
from geoloc.viz.negatives_epochs import NegativesEpoch
from geoloc.viz.negatives_figure import band_names, percent_of
from geoloc.viz.variogram_words import number, range_words

_STYLE = """
main { max-width: 1280px; }
th, td { text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.pairs { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px; }
.pairs .card { margin: 0; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; font-size: .88rem;
  line-height: 1.35; overflow-wrap: anywhere; }
.two img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 4px;
  margin-bottom: 6px; background: var(--ground); }
.numbers { margin: 10px 0 0; font-size: .88rem; font-variant-numeric: tabular-nums; }
@media (max-width: 1000px) { .pairs { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (max-width: 640px) { .pairs { grid-template-columns: minmax(0, 1fr); } }
""".strip()
_EMPTY: Mapping[FlagKind, str] = {
    "hard": "No pair held out of the fit is flagged as a hard negative.",
    "false": "No pair held out of the fit is flagged as a false negative.",
}
_ABOUT: Mapping[FlagKind, tuple[str, str]] = {
    "hard": (
        "Hard negatives",
        "Negatives that count more than others: by most rules those far apart, and more alike than "
        "places so far apart are. Look for pairs that are alike for a reason that has nothing to "
        "do with the place (clouds, watermarks, blank images): those teach nothing.",
    ),
    "false": (
        "False negatives",
        "As good as right (near, by most rules also alike), so not pushed apart. Look for pairs "
        "that a person could tell apart: those should have stayed negatives.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedPlace:
    """One of the two samples of a pair in the ledger.

    Attributes:
        key: of the sample.
        latlon_deg: where it was taken.
        name: of the place, if the data set has one.
        thumbnail: JPEG of the image; None where there are no pixels to be had.
    """

    key: str
    latlon_deg: tuple[float, float]
    name: str = ""
    thumbnail: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A flagged pair with its two samples."""

    pair: FlaggedPair
    query: PairedPlace
    candidate: PairedPlace


def write_negatives_page(
    path: Path,
    history: Sequence[NegativesEpoch],
    ledger: Mapping[FlagKind, Sequence[LedgerEntry]],
    *,
    figure_png: bytes,
    rule: str,
) -> Path:
    """Write one HTML file that needs no network and no script, whole or not at all.

    Args:
        path: of the page.
        history: epochs, oldest first; the last one is told in full.
        ledger: its most extreme flagged pairs by kind.
        figure_png: of `negatives_figure_png`.
        rule: its name.

    Raises:
        DataError: there is no epoch.
    """
    if not history:
        raise DataError("there is no epoch to report on")
    now = history[-1]
    title = f"Negatives by rule {rule}: epoch {now.epoch}"
    sections = "".join(_ledger(kind, ledger.get(kind, ())) for kind in ("hard", "false"))
    body = f"""<h1>{escape(title)}</h1>
<p class="faint">{escape(_summary(now))}</p>
<div class="card"><img alt="semivariogram, flags, calibration and history" \
src="{data_uri(figure_png)}"></div>
<h2>By distance</h2>
<p class="faint">Pairs of samples that the semivariogram was not fitted to. Nominal is the share \
that would be flagged if dissimilarities at each lag were distributed as in the fit. The columns \
“u &lt;” show how many pairs have a score below that level: it should be the level itself.</p>
{_band_table(now)}
<h2>Epochs</h2>
{_epoch_table(history)}
{sections}
<p class="faint">d: dissimilarity of the two images, 1 &minus; cosine. &gamma;: what the \
semivariogram expects at that lag. u: share of pairs at that lag that are less dissimilar. \
A sample is shown in two pairs at most.</p>"""
    write_text(path, html_page(title, body, style=_STYLE))
    return path


def _summary(now: NegativesEpoch) -> str:
    fit, flags = now.fit, now.diagnosis
    if not fit.has_structure:
        curve = "The semivariogram is flat: dissimilarity does not grow with lag"
    else:
        curve = (
            f"{fit.model.capitalize()} model, nugget {number(fit.nugget)}, "
            f"sill {number(fit.sill)}, effective range {range_words(fit)}"
        )
    return (
        f"{curve}. Of {int(flags.pair_count[-1]):,} pairs held out of the fit "
        f"{percent_of(float(flags.share_false[-1]))} are flagged false and "
        f"{percent_of(float(flags.share_hard[-1]))} hard."
    )


def _band_table(now: NegativesEpoch) -> str:
    flags = now.diagnosis
    head = ["lag, km", "pairs", "false", "nominal", "hard", "nominal", "mean weight"]
    head += [f"u < {100 * level:g} %" for level in flags.level]
    shares = (flags.share_false, flags.nominal_false, flags.share_hard, flags.nominal_hard)
    rows: list[list[str]] = []
    for place, name in enumerate([*band_names(flags.edges_km), "all"]):
        weight = float(flags.mean_weight[place])
        rows.append(
            [
                name,
                f"{int(flags.pair_count[place]):,}",
                *(percent_of(float(share[place])) for share in shares),
                "-" if math.isnan(weight) else f"{weight:.4f}",
                *(percent_of(float(share)) for share in flags.realised[place]),
            ]
        )
    return _table(head, rows)


def _epoch_table(history: Sequence[NegativesEpoch]) -> str:
    head = ["epoch", "effective range", "nugget", "sill", "false", "hard", "mean weight"]
    head += ["false changed", "hard changed", "share of the time"]
    rows: list[list[str]] = []
    for each in reversed(history):
        churn = (math.nan,) * 2 if each.churn is None else (each.churn.false, each.churn.hard)
        fit, flags = each.fit, each.diagnosis
        rows.append(
            [
                str(each.epoch),
                range_words(fit) if fit.has_structure else "flat",
                number(fit.nugget),
                number(fit.sill),
                percent_of(float(flags.share_false[-1])),
                percent_of(float(flags.share_hard[-1])),
                f"{float(flags.mean_weight[-1]):.4f}",
                *(percent_of(share) for share in churn),
                percent_of(math.nan if each.cost_share is None else each.cost_share),
            ]
        )
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heading = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows
    )
    return (
        f'<div class="card scroll"><table><thead><tr>{heading}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _ledger(kind: FlagKind, entries: Sequence[LedgerEntry]) -> str:
    heading, about = _ABOUT[kind]
    cards = "".join(_pair(entry) for entry in entries)
    shown = f'<div class="pairs">\n{cards}</div>' if cards else f"<p>{_EMPTY[kind]}</p>"
    return f'<h2>{heading}</h2>\n<p class="faint">{about}</p>\n{shown}\n'


def _pair(entry: LedgerEntry) -> str:
    pair = entry.pair
    numbers = [f"lag {_km(pair.lag_km)}"]
    for name, value in (("d", pair.observed), ("&gamma;", pair.expected), ("u", pair.score)):
        if not math.isnan(value):
            numbers.append(f"{name} {value:.3f}" if name != "u" else f"u {_score(value)}")
    return (
        f'<div class="card"><div class="two">{_place(entry.query)}{_place(entry.candidate)}</div>'
        f'<p class="numbers">{" · ".join(numbers)}</p></div>\n'
    )


def _place(place: PairedPlace) -> str:
    lat, lon = place.latlon_deg
    image = ""
    if place.thumbnail is not None:
        image = f'<img alt="{escape(place.key)}" src="{data_uri(place.thumbnail)}">'
    name = f"<strong>{escape(place.name)}</strong><br>" if place.name else ""
    where = f"{abs(lat):.3f}° {'NS'[lat < 0]}, {abs(lon):.3f}° {'EW'[lon < 0]}"
    return f'<div>{image}{name}{where}<br><span class="faint">{escape(place.key)}</span></div>'


def _km(lag_km: float) -> str:
    return f"{lag_km:,.0f} km" if lag_km >= 10 else f"{lag_km:.2g} km"


def _score(score: float) -> str:
    return "&lt; 0.0001" if score < 1e-4 else f"{score:.2g}"
