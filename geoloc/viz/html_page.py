"""html_page: one self-contained HTML file in the house style, without network and script."""

from __future__ import annotations

import base64
from html import escape

_STYLE = """
:root { --ink: #22282e; --faint: #5b6771; --line: #d9dee2; --accent: #0072b2; --paper: #ffffff;
  --ground: #f6f7f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 40px 0 12px; }
p { margin: 0 0 12px; max-width: 75ch; }
.faint { color: var(--faint); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  padding: 20px; margin: 0 0 20px; }
img { display: block; max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .93rem; width: 100%;
  font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--faint); white-space: nowrap; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
""".strip()


def html_page(title: str, body_html: str, *, style: str) -> str:
    """The whole file.

    Args:
        title: plain text; not yet shown in the body.
        body_html: what is shown.
        style: CSS that goes on from the house style.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_STYLE}
{style}
</style>
</head>
<body>
<main>
{body_html}
</main>
</body>
</html>
"""


def data_uri(content: bytes) -> str:
    """A PNG or JPEG image as part of the page."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
