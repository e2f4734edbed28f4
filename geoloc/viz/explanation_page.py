"""The page of an explained answer: image under heat, world, nearest training images, words."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from PIL import Image

from geoloc.artifacts import write_text
from geoloc.viz.explanation_figure import explained_places_png, heat_png
from geoloc.viz.html_page import data_uri, html_page
from geoloc.viz.maps import percent
from geoloc.viz.subjects import PlaceView

_SHOWN_PX = 560
_STYLE = """
.card > :first-child { margin-top: 0; }
.card h2 { margin-top: 0; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 20px;
  align-items: start; }
.verdict { border-left: 4px solid var(--accent); padding-left: 14px; }
.verdict.noise { border-color: #b45309; }
figure { margin: 0; }
figcaption { margin: 6px 0 0; color: var(--faint); font-size: .9rem; }
.alike { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 16px; }
.alike img { width: 100%; border-radius: 4px; }
.alike .none { border: 1px dashed var(--line); border-radius: 4px; padding: 24px 8px;
  text-align: center; color: var(--faint); font-size: .85rem; }
.world { width: 100%; margin-top: 16px; }
.number { text-align: right; white-space: nowrap; }
@media (max-width: 700px) { .pair { grid-template-columns: minmax(0, 1fr); }
  .card { padding: 14px; } .coordinates { display: none; } }
""".strip()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """What the page shows.

    Attributes:
        source: what the image is called.
        words: what the map says, and whether to believe it.
        reliable: whether to believe it.
        seen: left, top, right, bottom of what the model sees, as shares of width and height.
        effect: of each cell, in nats; positive where the cell supports the answer.
        noise: floor below which an effect says nothing.
        strongest: row and column of the largest effect.
        answer: the place answered.
        without_strongest: the place answered with that cell's patch covered.
        training: the training images most alike with their distance to the answer, in km; their
            scores are cosines. None where there were none to look among, empty where nobody asked.
        passes: images that went through the model.
    """

    source: str
    words: str
    reliable: bool
    seen: tuple[float, float, float, float]
    effect: Float64[np.ndarray, "row column"]
    noise: float
    strongest: tuple[int, int]
    answer: PlaceView
    without_strongest: PlaceView
    training: Sequence[tuple[PlaceView, float]] | None
    passes: int


def write_explanation_page(
    found: Explained,
    path: Path,
    *,
    image: Image.Image,
    pictures: Mapping[str, bytes],
) -> Path:
    """Write one HTML file that needs no network and no script.

    Args:
        found: what to show.
        path: of the page; folders are made as needed.
        image: the image, upright.
        pictures: of the training images by key, as JPEG or PNG; those missing are told in words.
    """
    places = [place.latlon_deg for place, _ in found.training or ()]
    world = explained_places_png(
        found.answer.latlon_deg, found.without_strongest.latlon_deg, places
    )
    heat = heat_png(
        image,
        seen=found.seen,
        effect=found.effect,
        noise=found.noise,
        strongest=found.strongest if found.reliable else None,
    )
    verdict = "verdict" if found.reliable else "verdict noise"
    body = f"""<h1>What moved the answer?</h1>
<p class="faint">{escape(found.source)}</p>
<section class="card">
<p class="{verdict}">{escape(found.words)}</p>
<div class="pair">
<figure><img alt="the image" src="{data_uri(_jpeg(image))}">\
<figcaption>The image as it is.</figcaption></figure>
<figure><img alt="the image in grey; each cell is coloured by how much covering it changes the \
answer" src="{data_uri(heat)}"><figcaption>Orange: with this part covered the answer is less \
probable. Blue: more probable.</figcaption></figure>
</div>
</section>
<section class="card">
<h2>Places</h2>
{_answers(found)}
<img class="world" alt="world map of the answer, with the strongest patch and without" \
src="{data_uri(world)}" width="860" height="460">
</section>
{_alike(found, pictures)}
<p class="faint">Occlusion (Zeiler and Fergus 2014): {found.passes} views of the image went \
through the model. It tells what this model's answer depends on, not what is typical of the \
place. Outlines: Natural Earth, public domain. City names: GeoNames, CC BY 4.0.</p>"""
    write_text(path, html_page("What moved the answer?", body, style=_STYLE))
    return path


def _answers(found: Explained) -> str:
    rows = "".join(
        f"<tr><td>{label}</td><td>{escape(place.name)}</td>"
        f'<td class="number coordinates">{place.latlon_deg[0]:.3f}, {place.latlon_deg[1]:.3f}</td>'
        f'<td class="number">{escape(percent(place.probability))}</td></tr>'
        for label, place in (
            ("the answer", found.answer),
            ("without the strongest patch", found.without_strongest),
        )
    )
    return (
        '<div class="scroll"><table><thead><tr><th></th><th>place</th>'
        '<th class="number coordinates">latitude, longitude</th>'
        '<th class="number">probability of this very place</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _alike(found: Explained, pictures: Mapping[str, bytes]) -> str:
    if found.training is None:
        return (
            '<section class="card"><h2>Training images most alike</h2><p>None at hand: embed them '
            "with <code>geoloc embed</code> and name the folder with <code>--references</code>."
            "</p></section>"
        )
    if not found.training:
        return ""
    shown = "".join(_one_alike(place, km, pictures) for place, km in found.training)
    return (
        '<section class="card"><h2>Training images most alike</h2><p class="faint">By the cosine '
        "of the model's embeddings of the two images. Near the answer: the model remembers such "
        "a place. Far from it: the answer rests on something else than these.</p>"
        f'<div class="alike">{shown}</div></section>'
    )


def _one_alike(place: PlaceView, answer_km: float, pictures: Mapping[str, bytes]) -> str:
    key = str(getattr(place, "reference", ""))
    content = pictures.get(key)
    picture = (
        '<div class="none">picture not at hand</div>'
        if content is None
        else f'<img alt="training image {escape(key)}" src="{data_uri(content)}">'
    )
    score: float | None = getattr(place, "score", None)
    like = "" if score is None else f"cosine {score:.3f}, "
    return (
        f"<figure>{picture}<figcaption>{escape(place.name)}<br>{like}"
        f"{answer_km:,.0f} km from the answer</figcaption></figure>"
    )


def _jpeg(image: Image.Image) -> bytes:
    scale = _SHOWN_PX / max(image.size)
    size = tuple(max(1, round(length * scale)) for length in image.size)
    small = image.convert("RGB").resize((size[0], size[1]))
    buffer = io.BytesIO()
    # Pixels only: nothing of the camera's metadata may reach a page that is passed on.
    Image.fromarray(np.asarray(small)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
