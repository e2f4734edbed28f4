"""The little Markdown that reports are written in, as safe HTML: headings, tables, paragraphs."""

from __future__ import annotations

import re
from html import escape

_RULE_CELL = re.compile(r":?-+:?")
_PIPE = re.compile(r"(?<!\\)\|")


def markdown_to_html(text: str) -> str:
    """HTML of headings (`#` to `####`), pipe tables, `- ` lists, paragraphs, **bold** and `code`.

    Everything else, raw HTML included, is shown as it is written. Headings sink by two levels,
    since they stand inside a page that has its own.
    """
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n".join(_block(block.splitlines()) for block in blocks if block.strip())


def _block(lines: list[str]) -> str:
    heading = re.match(r"(#{1,4})\s+(.*)", lines[0])
    if heading:
        level = min(len(heading[1]) + 2, 6)
        rest = _block(lines[1:]) if lines[1:] else ""
        return f"<h{level}>{_inline(heading[2])}</h{level}>{rest}"
    if len(lines) > 1 and _is_rule(lines[1]):
        return _table(lines)
    if all(line.lstrip().startswith("- ") for line in lines):
        items = "".join(f"<li>{_inline(line.lstrip()[2:])}</li>" for line in lines)
        return f"<ul>{items}</ul>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _table(lines: list[str]) -> str:
    aligned = [_alignment(cell) for cell in _cells(lines[1])]
    head = _row(_cells(lines[0]), aligned, "th")
    body = "".join(_row(_cells(line), aligned, "td") for line in lines[2:])
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _row(cells: list[str], aligned: list[str], tag: str) -> str:
    inside = "".join(
        f"<{tag}{aligned[column] if column < len(aligned) else ''}>{_inline(cell)}</{tag}>"
        for column, cell in enumerate(cells)
    )
    return f"<tr>{inside}</tr>"


def _is_rule(line: str) -> bool:
    return "|" in line and all(_RULE_CELL.fullmatch(cell) for cell in _cells(line))


def _alignment(cell: str) -> str:
    return ' class="number"' if cell.endswith(":") and not cell.startswith(":") else ""


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.strip().replace("\\|", "|") for cell in _PIPE.split(inner)]


def _inline(text: str) -> str:
    safe = escape(text)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
