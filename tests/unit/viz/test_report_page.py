from __future__ import annotations

import re
from pathlib import Path

import pytest

from geoloc.errors import DataError
from geoloc.viz.report_page import ReportFigure, ReportSection, write_report_page

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
    b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
)


def test_a_page_is_whole_in_itself_and_shows_all_that_was_given(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    sections = [
        ReportSection(title="easy <1>", markdown="| a | b |\n|---|--:|\n| x | 1 |"),
        ReportSection(
            title="easy <1>",
            figures=[ReportFigure(caption="map & more", file=picture)],
            folded=[("all protocols", "# Heading\n\n- a line")],
        ),
    ]
    page = write_report_page(tmp_path / "r.html", title="T", intro="i < j", sections=sections)
    text = page.read_text()
    for shown in ("easy &lt;1&gt;", "i &lt; j", "map &amp; more", "<li>a line</li>"):
        assert shown in text
    assert text.count("data:image/png;base64,") == 1
    assert "<details><summary>all protocols</summary>" in text
    targets = re.findall(r'href="#([^"]+)"', text)
    assert len(set(targets)) == 2
    assert all(f'id="{target}"' in text for target in targets)
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "<script" not in text


def test_a_page_without_sections_or_with_a_lost_figure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="something to report"):
        write_report_page(tmp_path / "r.html", title="T", intro="", sections=[])
    lost = ReportSection(title="a", figures=[ReportFigure(caption="c", file=tmp_path / "no.png")])
    with pytest.raises(DataError, match=r"no\.png cannot be read"):
        write_report_page(tmp_path / "r.html", title="T", intro="", sections=[lost])
    assert not (tmp_path / "r.html").exists()
