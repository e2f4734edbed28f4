"""A report as one HTML file: sections of prose, tables and figures, the long parts folded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from geoloc.artifacts import write_text
from geoloc.errors import DataError
from geoloc.viz.html_page import data_uri, html_page
from geoloc.viz.markdown import markdown_to_html

_STYLE = """
main { max-width: 1360px; }
table { font-size: .86rem; }
th, td { padding-right: 9px; }
h3, h4, h5, h6 { font-size: 1rem; margin: 24px 0 8px; }
.card > :first-child { margin-top: 0; }
.card > :last-child { margin-bottom: 0; }
th, td { white-space: nowrap; }
.number { text-align: right; }
figure { margin: 0; }
figcaption { font-weight: 600; margin-bottom: 8px; }
.two { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 20px;
  margin-bottom: 20px; align-items: start; }
.two .card { margin: 0; }
.two .wide { grid-column: 1 / -1; }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 20px; }
a { color: var(--accent); }
details { margin: 0 0 20px; }
summary { cursor: pointer; font-weight: 600; }
details .card { margin-top: 12px; }
@media (max-width: 900px) { .two { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 600px) { .wide { overflow-x: auto; }
  .wide img { min-width: 640px; max-width: none; } }
@media print { details { display: block; } nav { display: none; } }
""".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFigure:
    """A picture of a report.

    Attributes:
        caption: what it shows; its alternative text too.
        file: the PNG, which goes into the page.
        wide: across the page, not beside another.
    """

    caption: str
    file: Path
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSection:
    """A part of a report.

    Attributes:
        title: its heading.
        markdown: prose and tables, shown first (see `markdown_to_html`).
        figures: shown after it.
        folded: further parts by what they are called, opened by a click.
    """

    title: str
    markdown: str = ""
    figures: Sequence[ReportFigure] = ()
    folded: Sequence[tuple[str, str]] = ()


def write_report_page(
    path: Path, *, title: str, intro: str, sections: Sequence[ReportSection]
) -> Path:
    """Write one HTML file that needs no network and no script, whole or not at all.

    Args:
        path: of the page.
        title: its heading.
        intro: one paragraph below it, plain text.
        sections: in order; with two or more there is a list of links to them.

    Raises:
        DataError: there is no section, or a figure cannot be read.
    """
    if not sections:
        raise DataError("a report needs something to report")
    anchors = _anchors([section.title for section in sections])
    links = "".join(
        f'<li><a href="#{anchor}">{escape(section.title)}</a></li>'
        for anchor, section in zip(anchors, sections, strict=True)
    )
    nav = f'<nav aria-label="sections"><ul>{links}</ul></nav>' if len(sections) > 1 else ""
    shown = "".join(map(_section, anchors, sections))
    body = f"""<h1>{escape(title)}</h1>
<p class="faint">{escape(intro)}</p>
{nav}
{shown}
<p class="faint">Outlines and areas: Natural Earth, public domain. City names: GeoNames, CC BY 4.0.\
</p>"""
    write_text(path, html_page(title, body, style=_STYLE))
    return path


def _section(anchor: str, section: ReportSection) -> str:
    prose = markdown_to_html(section.markdown) if section.markdown else ""
    card = f'<div class="card">{prose}</div>' if prose else ""
    figures = "".join(map(_figure, section.figures))
    grid = f'<div class="two">{figures}</div>' if figures else ""
    folded = "".join(
        f"<details><summary>{escape(name)}</summary>"
        f'<div class="card">{markdown_to_html(text)}</div></details>'
        for name, text in section.folded
    )
    return (
        f'<section><h2 id="{anchor}">{escape(section.title)}</h2>\n{card}{grid}{folded}</section>\n'
    )


def _figure(figure: ReportFigure) -> str:
    try:
        content = figure.file.read_bytes()
    except OSError as error:
        raise DataError(f"figure {figure.file} cannot be read: {error.strerror}") from error
    kind = "card wide" if figure.wide else "card"
    caption = escape(figure.caption)
    return (
        f'<figure class="{kind}"><figcaption>{caption}</figcaption>'
        f'<img alt="{caption}" src="{data_uri(content)}"></figure>\n'
    )


def _anchors(titles: Sequence[str]) -> list[str]:
    """A link's target for each heading, all different."""
    words = [re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in titles]
    return [f"{word or 'section'}-{number}" for number, word in enumerate(words, 1)]
