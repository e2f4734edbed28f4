from __future__ import annotations

from pathlib import Path

import pytest

from geoloc.errors import DataError
from geoloc.evaluation import StrataTable, Stratum
from geoloc.viz.strata_figure import draw_strata


def stratum(name: str, score: float, *, small: bool = False) -> Stratum:
    intervals = {} if small else {"geoscore": [score - 100.0, score + 100.0]}
    return Stratum(
        name=name, count=80, blocks=9, small=small, metrics={"geoscore": score}, intervals=intervals
    )


def table(by: str, rows: int) -> StrataTable:
    strata = tuple(stratum(f"{by} {row}", 400.0 * row, small=row == 2) for row in range(rows))
    return StrataTable(by=by, source="", ordered=False, rows=strata)


def test_the_picture_grows_by_questions_and_by_rows_up_to_the_limit(
    tmp_path: Path, read_png
) -> None:
    overall = stratum("all images", 1000.0)

    def height(*tables: StrataTable, most: int = 12) -> int:
        path = draw_strata(tables, overall, tmp_path / "s.png", title="x $ y", most=most)
        return read_png(path).shape[0]

    one, two = height(table("climate", 3)), height(table("climate", 4))
    assert two > one
    assert height(table("climate", 4), table("continent", 2)) > two
    assert height(table("climate", 9), most=4) == two
    # A question without a class is left out.
    assert height(table("climate", 4), table("soil", 0)) == two


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no stratum"):
        draw_strata([table("soil", 0)], stratum("all images", 1.0), tmp_path / "s.png")
