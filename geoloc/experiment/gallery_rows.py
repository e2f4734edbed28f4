"""The lines of a report for one table of predictions, under each protocol."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from geoloc.evaluation import ReportRow, prediction_table, score_table
from geoloc.places import Areas
from geoloc.retrieval import Candidates, Gallery


def gallery_rows(
    name: str, frame: pd.DataFrame, gallery: Gallery | Candidates | None, protocols: Sequence[str]
) -> list[ReportRow]:
    """One line a protocol, each place looked up once for all of them.

    Args:
        name: what the lines are called.
        frame: the predictions.
        gallery: what bounds them; None for answers between places, which no ceiling bounds.
        protocols: names.
    """
    scores = score_table(
        prediction_table(frame),
        protocols,
        gallery_latlon_deg=None if gallery is None else gallery.latlon_deg,
        areas=Areas.load(),
    )
    return [
        ReportRow(
            name=name,
            kind="gallery",
            scores=each,
            places=None if gallery is None else len(gallery),
            duplicates_dropped=None if gallery is None else gallery.duplicates_dropped,
            drawn_from=None if gallery is None else gallery.drawn_from,
        )
        for each in scores
    ]
