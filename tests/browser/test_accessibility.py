"""axe finds nothing, at both sizes, in both schemes, before and after answers and refusals."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

SIZES = {"desktop": (1280, 860), "phone": (360, 740)}


def violations(page):
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]} {node.get('failureSummary', '')}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_is_content(visit, photo_file, size, scheme):
    page = visit(size=SIZES[size], color_scheme=scheme)
    assert violations(page) == []
    bad = {"name": "bad.jpg", "mimeType": "image/jpeg", "buffer": b"no image"}
    page.set_input_files("#files", [photo_file(), photo_file(1), bad])
    assert violations(page) == []
    page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    page.get_by_text("What this rests on").click()
    page.locator("#places button").first.click()
    assert violations(page) == []
    page.locator(".show").nth(2).click()
    assert violations(page) == []


def test_axe_is_content_with_the_field_for_the_key(visit, photo_file):
    page = visit(key=False)
    page.set_input_files("#files", [photo_file()])
    page.get_by_role("button", name="Ask where").click()
    expect(page.get_by_label("This service asks for an API key")).to_be_focused()
    assert violations(page) == []


def test_nothing_moves_for_who_wants_no_motion(visit, photo_file):
    page = visit(reduced_motion="reduce")
    page.set_input_files("#files", [photo_file()])
    page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    assert page.locator(".leaflet-zoom-anim").count() == 0
    assert page.evaluate("() => document.getAnimations().length") == 0
