from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.errors import DataError
from geoloc.viz import draw_error_curve, write_query_page


def test_page_holds_everything_and_asks_for_nothing(tmp_path: Path, answer_of) -> None:
    hostile = '<script>alert("x")</script>.jpg'
    answers = [answer_of((48.9, 2.3), (51.5, -0.1)), answer_of((0.0, 0.0), source=hostile)]
    curve = draw_error_curve({"model": np.array([1.0, 30.0])}, tmp_path / "curve.png")
    page = write_query_page(
        answers,
        tmp_path / "out" / "page.html",
        title="A & B",
        images=[Image.new("RGB", (900, 600), (255, 0, 0)), None],
        truths_deg=[None, (0.0, 1.0)],
        summary="| a | b |\n|---|--:|\n| model | 812 |",
        figures=[("Curve", curve)],
    )
    text = page.read_text(encoding="utf-8")
    assert "<title>A &amp; B</title>" in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)""", text) == []
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert text.count("<section") == 3
    assert '<td class="number">812</td>' in text
    # 1 degree along the equator.
    assert "111 km" in text
    assert text.count("from the truth") == 1


def test_pictures_of_the_page_can_be_read(tmp_path: Path, answer_of) -> None:
    photo = Image.new("RGB", (900, 600), (255, 0, 0))
    photo.getexif()[0x010F] = "Camera of somebody"
    page = write_query_page([answer_of((48.9, 2.3))], tmp_path / "p.html", images=[photo])
    pictures = re.findall(r"data:image/(\w+);base64,([^\"]+)", page.read_text(encoding="utf-8"))
    opened = [Image.open(io.BytesIO(base64.b64decode(body))) for _, body in pictures]
    assert [(image.format, image.size) for image in opened] == [
        ("JPEG", (420, 280)),
        ("PNG", (860, 430)),
        ("PNG", (430, 430)),
    ]
    assert len(opened[0].getexif()) == 0
    assert photo.size == (900, 600)


def test_page_without_answers_still_shows_the_summary(tmp_path: Path) -> None:
    text = write_query_page([], tmp_path / "p.html", summary="no queries").read_text()
    assert "<p>no queries</p>" in text
    assert "Queries</h2>" not in text


def test_counts_must_agree_and_figures_exist(tmp_path: Path, answer_of) -> None:
    with pytest.raises(DataError, match="0 images for 1 answers"):
        write_query_page([answer_of((0.0, 0.0))], tmp_path / "p.html", images=[])
    with pytest.raises(DataError, match="2 truths_deg for 1 answers"):
        write_query_page([answer_of((0.0, 0.0))], tmp_path / "p.html", truths_deg=[None, None])
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        write_query_page([], tmp_path / "p.html", figures=[("x", tmp_path / "gone.png")])


def test_a_page_of_many_answers_stays_usable(tmp_path: Path, answer_of) -> None:
    answers = [answer_of((number, 10.0), source=f"<{number}>.jpg") for number in range(40)]
    truths = [(number + 1.0, 10.0) if number == 39 else None for number in range(40)]
    page = write_query_page(answers, tmp_path / "p.html", truths_deg=truths, cards=1)
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png") == 3
    assert "All 40 images" in text
    assert text.count('<td class="image">') == 40
    assert '<a href="#image-1">&lt;0&gt;.jpg</a>' in text
    assert text.count("<a href") == 1
    assert 'id="image-1"' in text
    assert text.count("111 km") == 1
    few = write_query_page(answers[:2], tmp_path / "q.html", cards=2)
    assert "All 2 images" not in few.read_text(encoding="utf-8")


def test_notes_stand_beside_the_places(tmp_path: Path, answer_of) -> None:
    @dataclass
    class Noted:
        source: str
        places: tuple[object, ...]
        notes: tuple[str, ...]

    plain = answer_of((48.9, 2.3))
    noted = Noted(plain.source, plain.places, ("within 5 km", "<b>"))
    text = write_query_page([noted], tmp_path / "p.html").read_text(encoding="utf-8")
    assert '<p class="note">within 5 km</p><p class="note">&lt;b&gt;</p>' in text
