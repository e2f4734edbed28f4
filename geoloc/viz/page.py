"""A page of answered queries in one HTML file that needs no network and no script."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from geoloc.errors import DataError
from geoloc.geodesy import great_circle_km
from geoloc.viz.answer_table import answer_table, card_id
from geoloc.viz.html_page import data_uri, html_page
from geoloc.viz.maps import closeup_png, first_places_png, percent, world_map_png
from geoloc.viz.markdown import markdown_to_html
from geoloc.viz.subjects import AnswerView, NotedAnswerView, PlaceView

ItemT = TypeVar("ItemT")
CARDS, ROWS = 30, 2000
"""Most answers with photo and maps on one page, and most lines in its table of all answers."""

_PHOTO_PX = 420
_STYLE = """
h3, h4, h5, h6 { font-size: 1rem; margin: 20px 0 8px; }
.card > :first-child { margin-top: 0; }
.card h3 { margin: 0 0 12px; font-size: 1.05rem; overflow-wrap: anywhere; }
.top { display: grid; grid-template-columns: minmax(0, 260px) minmax(0, 1fr); gap: 20px;
  align-items: start; margin-bottom: 16px; }
.top.bare { grid-template-columns: minmax(0, 1fr); }
.photo { border-radius: 4px; width: 100%; max-height: 260px; object-fit: contain;
  object-position: left top; }
.maps { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 1fr); gap: 12px; }
.summary .scroll { margin-bottom: 16px; }
figure { margin: 0 0 20px; }
figcaption { font-weight: 600; margin-bottom: 8px; }
.answers { max-height: 32rem; overflow-y: auto; }
.answers thead th { position: sticky; top: 0; background: var(--paper); }
.note { margin: 6px 0 0; color: var(--faint); font-size: .93rem; }
.image { overflow-wrap: anywhere; min-width: 12ch; }
.number { text-align: right; white-space: nowrap; }
code { font-size: .9em; }
@media (max-width: 640px) { .top, .maps { grid-template-columns: minmax(0, 1fr); }
  .card { padding: 14px; } .coordinates { display: none; } }
""".strip()


def write_query_page(
    answers: Sequence[AnswerView],
    path: Path | str,
    *,
    title: str = "Where was it taken?",
    images: Sequence[Image.Image | None] | None = None,
    truths_deg: Sequence[tuple[float, float] | None] | None = None,
    summary: str = "",
    figures: Sequence[tuple[str, Path]] = (),
    cards: int = CARDS,
) -> Path:
    """Write a page with a card a query (photo, places, map) and, above, a summary and figures.

    Of more answers than that the first have cards, and all stand on one map and in one table.

    Args:
        answers: what was answered, a card each, in order, with their notes (`NotedAnswerView`).
        path: HTML file to write; folders are made as needed.
        title: heading of the page.
        images: the image of each answer, or None for one that is not shown.
        truths_deg: where each image was really taken, or None where that is not known.
        summary: Markdown shown above the cards (headings, tables, lists, paragraphs).
        figures: captions with PNG files, shown after the summary and stored in the page.
        cards: most answers that have one.

    Raises:
        DataError: images or truths are not as many as answers, or a figure cannot be read.
        CoordinateError: a truth is no place.
    """
    photos = _one_each(images, len(answers), "images")
    truths = _one_each(truths_deg, len(answers), "truths_deg")
    carded = zip(answers[:cards], photos[:cards], truths[:cards], strict=True)
    cards_html = "".join(
        _card(answer, photo, truth, card_id(number))
        for number, (answer, photo, truth) in enumerate(carded, 1)
    )
    every = _all_answers(answers, truths, cards=cards) if len(answers) > cards else ""
    shown = "".join(_figure(caption, Path(file)) for caption, file in figures)
    table = markdown_to_html(summary) if summary else ""
    summary_html = f'<section class="card summary">{table}</section>' if table else ""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    star = " A star marks where an image was really taken." if any(truths) else ""
    intro = (
        "Answers are numbered by rank. Probabilities are shares among all places that could be "
        f"answered.{star}"
    )
    body = _page(title, intro, f"{summary_html}{shown}{every}", cards_html)
    file.write_text(body, encoding="utf-8")
    return file


def _page(title: str, intro: str, front_html: str, cards_html: str) -> str:
    heading = '<h2 id="queries">Queries</h2>' if cards_html else ""
    body = f"""<h1>{escape(title)}</h1>
<p class="faint">{intro}</p>
{front_html}
{heading}
{cards_html}
<p class="faint">Outlines: Natural Earth, public domain. City names: GeoNames, CC BY 4.0.</p>"""
    return html_page(title, body, style=_STYLE)


def _one_each(
    given: Sequence[ItemT | None] | None, count: int, what: str
) -> Sequence[ItemT | None]:
    values = [None] * count if given is None else given
    if len(values) != count:
        raise DataError(f"{len(values)} {what} for {count} answers: give one each, or None")
    return values


def _all_answers(
    answers: Sequence[AnswerView],
    truths_deg: Sequence[tuple[float, float] | None],
    *,
    cards: int,
) -> str:
    rows = answer_table(answers[:ROWS], truths_deg[:ROWS], linked=cards)
    told = [f"The first {cards:,} have photo and maps below."] if cards else []
    if len(answers) > ROWS:
        told.append(f"The table ends after {ROWS:,}; the map shows them all.")
    world = data_uri(first_places_png(answers))
    return f"""<section class="card">
<h2>All {len(answers):,} images</h2>
<img alt="world map with a dot at the first place of each image" src="{world}" width="1120" \
height="560">
<p class="faint">{" ".join(told)}</p>
{rows}
</section>
"""


def _card(
    answer: AnswerView,
    photo: Image.Image | None,
    truth_deg: tuple[float, float] | None,
    identity: str,
) -> str:
    picture = ""
    if photo is not None:
        picture = (
            f'<img class="photo" alt="the queried image {escape(answer.source)}" '
            f'src="{_photo_uri(photo)}">'
        )
    world = data_uri(world_map_png(answer, truth_deg=truth_deg))
    closeup = data_uri(closeup_png(answer, truth_deg=truth_deg))
    best = answer.places[0]
    told = answer.notes if isinstance(answer, NotedAnswerView) else ()
    notes = "".join(f'<p class="note">{escape(line)}</p>' for line in told)
    return f"""<section class="card" id="{identity}">
<h3>{escape(answer.source)}</h3>
<div class="{"top" if picture else "top bare"}">{picture}\
<div>{_places_table(answer.places, truth_deg)}{notes}</div></div>
<div class="maps">
<img alt="world map of the answered places; the best is {escape(best.name)}" src="{world}" \
width="860" height="430">
<img alt="close-up of the best place" src="{closeup}" width="430" height="430">
</div>
</section>
"""


def _places_table(places: Sequence[PlaceView], truth_deg: tuple[float, float] | None) -> str:
    far_head = "" if truth_deg is None else '<th class="number">from the truth</th>'
    rows: list[str] = []
    for rank, place in enumerate(places, 1):
        lat, lon = place.latlon_deg
        far = ""
        if truth_deg is not None:
            km = float(great_circle_km(np.array([place.latlon_deg]), np.array([truth_deg]))[0])
            far = f'<td class="number">{km:,.0f} km</td>'
        rows.append(
            f'<tr><td class="number">{rank}</td>'
            f'<td class="number">{escape(percent(place.probability))}</td>'
            f"<td>{escape(place.name)}</td>"
            f'<td class="number coordinates">{lat:.3f}, {lon:.3f}</td>{far}</tr>'
        )
    return (
        '<div class="scroll"><table><thead><tr><th class="number">rank</th>'
        '<th class="number">probability</th><th>place</th>'
        f'<th class="number coordinates">latitude, longitude</th>{far_head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _figure(caption: str, file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"figure {file} cannot be read: {error.strerror}") from error
    uri = data_uri(content)
    return (
        f'<figure class="card"><figcaption>{escape(caption)}</figcaption>'
        f'<img alt="{escape(caption)}" src="{uri}"></figure>\n'
    )


def _photo_uri(photo: Image.Image) -> str:
    small = photo.convert("RGB")
    small.thumbnail((_PHOTO_PX, _PHOTO_PX))
    buffer = io.BytesIO()
    # Pixels only: nothing of the camera's metadata may reach a page that is passed on.
    Image.fromarray(np.asarray(small)).save(buffer, "JPEG", quality=85)
    return data_uri(buffer.getvalue())
