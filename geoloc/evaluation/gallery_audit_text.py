"""An audit of a gallery as a terminal or a Markdown page shows it."""

from __future__ import annotations

from collections.abc import Sequence

from geoloc.evaluation.gallery_audit import CountryGap, GalleryAudit
from geoloc.evaluation.protocols import PROTOCOLS, THRESHOLDS_KM

_MOST_NAMED = 40


def audit_text(audit: GalleryAudit, *, countries: Sequence[CountryGap]) -> str:
    """Findings in lines of at most 100 columns, with a table of some countries."""
    lines = [
        f"gallery {audit.gallery} against {audit.against} ({audit.gap.places:,} places)",
        "",
        *(f"  {name:<24}{told}" for name, told in _facts(audit)),
        "",
        *_aligned(_ceiling_rows(audit)),
        "",
        *_aligned(_country_rows(countries)),
        *_told_without(audit),
    ]
    return "\n".join(lines)


def audit_markdown(audit: GalleryAudit, *, countries: Sequence[CountryGap]) -> str:
    """The same as Markdown."""
    facts = [f"- {name}: {told}" for name, told in _facts(audit)]
    return "\n".join(
        [
            f"## Gallery {audit.gallery} against {audit.against} ({audit.gap.places:,} places)",
            "",
            *facts,
            "",
            *_piped(_ceiling_rows(audit)),
            "",
            *_piped(_country_rows(countries)),
            *_told_without(audit),
            "",
        ]
    )


def named_countries(audit: GalleryAudit, chosen: str) -> list[CountryGap]:
    """Countries to show: ``all``, so many of the largest median gaps, or codes between commas.

    Of a number only countries count that hold a thousandth of the places: a median over three
    places says little.

    Raises:
        ConfigError: no place lies in a country of that code.
    """
    if chosen == "all":
        return list(audit.countries)
    if chosen.isdigit():
        enough = [e for e in audit.countries if e.gap.places >= audit.gap.places / 1000]
        return enough[: int(chosen)]
    return [audit.country(code.strip()) for code in chosen.split(",")]


def _facts(audit: GalleryAudit) -> list[tuple[str, str]]:
    spacing = audit.spacing_km
    return [
        ("rows", f"{audit.rows:,}"),
        ("distinct places", f"{audit.distinct:,} (exact duplicates: {audit.duplicates:,})"),
        ("near duplicates", f"{audit.near_duplicates:,} have another within {audit.near_m:g} m"),
        (
            "off land",
            f"{audit.off_land:,}, of which {audit.far_at_sea:,} farther than 25 km from a coast",
        ),
        (
            "nearest other place",
            "a single place"
            if spacing is None
            else f"median {_km(spacing['0.5'])} km, from {_km(spacing['0.05'])} (5 %) "
            f"to {_km(spacing['0.95'])} (95 %)",
        ),
        (
            "gap to the gallery",
            f"median {_km(audit.gap.median_km)} km, 90 % within {_km(audit.gap.p90_km)}, "
            f"worst {_km(audit.gap.worst_km)}",
        ),
    ]


def _ceiling_rows(audit: GalleryAudit) -> list[list[str]]:
    heading = ["ceiling", *(f"{radius:g} km" for radius in THRESHOLDS_KM), "GeoScore", "counts"]
    rows = [
        [
            name,
            *(f"{100 * found[f'{radius:g}']:.1f} %" for radius in THRESHOLDS_KM),
            f"{found['geoscore']:,.0f}",
            PROTOCOLS[name].comparison,
        ]
        for name, found in audit.ceilings.items()
    ]
    return [heading, *rows]


def _country_rows(countries: Sequence[CountryGap]) -> list[list[str]]:
    heading = ["country", "places", "in gallery", "median gap, km", "90 %", "worst"]
    rows = [
        [
            f"{each.code} {each.name}",
            f"{each.gap.places:,}",
            f"{each.gallery_places:,}",
            _km(each.gap.median_km),
            _km(each.gap.p90_km),
            _km(each.gap.worst_km),
        ]
        for each in countries
    ]
    return [heading, *rows]


def _told_without(audit: GalleryAudit) -> list[str]:
    lines: list[str] = []
    if audit.without:
        codes = list(audit.without)
        more = f" and {len(codes) - _MOST_NAMED} more" if len(codes) > _MOST_NAMED else ""
        what = "country" if len(codes) == 1 else "countries"
        lines += ["", f"{len(codes)} {what} with places and none in the gallery:"]
        shown = codes[:_MOST_NAMED]
        lines += ["  " + ", ".join(shown[at : at + 20]) for at in range(0, len(shown), 20)]
        lines[-1] += more
    if audit.nowhere_places:
        lines += ["", f"{audit.nowhere_places:,} places at sea, in no country"]
    return lines


def _km(distance_km: float) -> str:
    return (
        f"{distance_km:,.0f}"
        if distance_km >= 100
        else f"{distance_km:.2g}"
        if (distance_km < 1)
        else f"{distance_km:.1f}"
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    width = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width[column]) if column else cell.ljust(width[0])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def _piped(rows: Sequence[Sequence[str]]) -> list[str]:
    heading, *others = rows
    marks = ["---", *("---:" for _ in heading[1:])]
    return ["| " + " | ".join(row) + " |" for row in (heading, marks, *others)]
