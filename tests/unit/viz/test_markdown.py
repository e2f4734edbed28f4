from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.viz.markdown import markdown_to_html

KNOWN = {"h3", "h4", "h5", "h6", "p", "ul", "li", "code", "strong"}
KNOWN |= {"div", "table", "thead", "tbody", "tr", "th", "td"}


class Balance(HTMLParser):
    """Collects the tags and checks that each closes what was opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert tag in KNOWN
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("", ""),
        ("# Title", "<h3>Title</h3>"),
        ("## A\ntext", "<h4>A</h4><p>text</p>"),
        ("one\ntwo\n\nthree", "<p>one two</p>\n<p>three</p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("**b** `c` <i>", "<p><strong>b</strong> <code>c</code> &lt;i&gt;</p>"),
        ("a | b", "<p>a | b</p>"),
    ],
)
def test_blocks(markdown: str, html: str) -> None:
    assert markdown_to_html(markdown) == html


def test_table_with_alignment_and_escaped_pipes() -> None:
    html = markdown_to_html("| a | b |\n|---|--:|\n| x \\| y | 1 |\n| <z> | 2 |")
    assert "<th>a</th>" in html
    assert '<th class="number">b</th>' in html
    assert "<td>x | y</td>" in html
    assert '<td class="number">1</td>' in html
    assert "<td>&lt;z&gt;</td>" in html


@given(st.text(alphabet="ab|-:#*`<>&\\\n \"'", max_size=80))
def test_any_text_gives_balanced_harmless_html(text: str) -> None:
    parser = Balance()
    parser.feed(markdown_to_html(text))
    parser.close()
    assert parser.open == []
