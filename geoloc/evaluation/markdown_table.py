"""Tables that read well in a terminal and as Markdown, and the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table padded so that its columns stand straight in a terminal."""
    used = [
        column
        for column in range(len(lines[0]))
        if column == 0 or any(line[column] not in ("", "·") for line in lines[1:])
    ]
    width = {column: max(3, *(len(line[column]) for line in lines)) for column in used}

    def draw(line: Sequence[str]) -> str:
        cells = [
            line[column].ljust(width[column]) if column == 0 else line[column].rjust(width[column])
            for column in used
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * width[c] if c == 0 else "-" * (width[c] - 1) + ":" for c in used]
    head = "|" + "|".join(f" {dashes} " for dashes in rule) + "|"
    return "\n".join([draw(lines[0]), head, *(draw(line) for line in lines[1:])])


def plain_number(value: float | None) -> str:
    """A figure with one decimal, from 100 on with none; a dot where there is none."""
    if value is None:
        return "·"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def percent(value: float | None) -> str:
    """A share in per cent with one decimal; a dot where there is none."""
    return "·" if value is None else f"{100.0 * value:.1f}"
