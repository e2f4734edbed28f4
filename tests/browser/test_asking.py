"""What a visitor does with the page, and what it says, against the real service."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

KEY_FIELD = "This service asks for an API key"
PHONE = (360, 740)
DROP = """
([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: 'image/jpeg' }));
  const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
  for (const kind of ['dragenter', 'dragover', 'drop']) {
    document.getElementById('map').dispatchEvent(new DragEvent(kind, options));
  }
}
"""


def ask(page, *files):
    page.set_input_files("#files", list(files))
    page.get_by_role("button", name="Ask where").click()
    expect(page.get_by_role("button", name="Ask where")).to_be_enabled()


def states(page):
    return page.locator("#pictures li").evaluate_all("rows => rows.map((row) => row.dataset.state)")


def noise_file(name="noise.png"):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def test_an_answer_is_headline_list_map_and_what_it_rests_on(visit, photo_file, address):
    page = visit()
    expect(page.locator("#host")).to_have_text(address.removeprefix("http://").strip("/"))
    with page.expect_response("**/v1/locate") as told:
        ask(page, photo_file())
    [answer] = told.value.json()["answers"]
    best, half = answer["places"][0], answer["radii"][0]
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    expect(page.locator("#detail")).to_contain_text("km with 90 %")
    assert page.locator("#answer").evaluate("card => card === document.activeElement")
    rows = page.locator("#places li")
    assert rows.count() == len(answer["places"])
    north_or_south = "S" if best["latitude_deg"] < 0 else "N"
    at = f"{abs(best['latitude_deg']):.1f}°\u00a0{north_or_south}"
    expect(rows.first).to_contain_text(at)
    assert half["km"] > 0
    expect(page.locator("#countries li").first).to_contain_text("%")
    page.get_by_text("What this rests on").click()
    expect(page.locator("#basis")).to_contain_text(answer["basis"]["model"][:12])
    expect(page.locator("#coarse")).to_contain_text("25 km")
    expect(page.locator("#status")).to_contain_text("Most likely within")
    expect(page.locator("#legend-circles li")).to_have_count(2)
    expect(page.locator("#legend-heat")).to_be_visible()
    page.get_by_role("checkbox", name="Heat").uncheck()
    expect(page.locator("#legend-heat")).to_be_hidden()


def test_marks_and_list_choose_one_another(visit, photo_file):
    page = visit()
    ask(page, photo_file())
    marks = page.locator(".leaflet-marker-pane .mark:not([aria-hidden])")
    assert marks.count() == page.locator("#places li").count() > 1
    second = page.get_by_role("button", name="Place 2 on the map")
    second.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#places li.chosen")).to_have_attribute("data-rank", "2")
    named = page.locator("#places .place-name[aria-current=true]")
    expect(named).to_have_count(1)
    expect(page.locator("#status")).to_have_text(f"Chosen: 2, {named.text_content()}.")
    expect(second).to_have_attribute("aria-current", "true")
    page.locator("#places li").first.get_by_role("button").first.click()
    expect(page.locator("#places li.chosen")).to_have_attribute("data-rank", "1")
    expect(page.locator(".leaflet-marker-pane .mark.chosen")).to_have_text("1")
    expect(page.locator(".leaflet-marker-pane .mark[aria-current]")).to_have_text("1")
    expect(page.locator("#places .place-name[aria-current]")).to_have_count(1)
    expect(page.locator("#status")).to_contain_text("Chosen: 1, ")


def test_places_across_the_antimeridian_are_neighbours_on_the_map(visit, photo_file):
    page = visit()
    with page.expect_response("**/v1/locate") as told:
        ask(page, photo_file())
    places = told.value.json()["answers"][0]["places"]
    lon = np.array([place["longitude_deg"] for place in places])
    assert lon.min() < -170
    assert lon.max() > 170
    boxes = [
        box.bounding_box()
        for box in page.locator(".leaflet-marker-pane .mark:not([aria-hidden])").all()
    ]
    map_box = page.locator("#map").bounding_box()
    apart = max(box["x"] for box in boxes) - min(box["x"] for box in boxes)
    assert apart < 0.5 * map_box["width"]
    assert all(map_box["x"] < box["x"] < map_box["x"] + map_box["width"] for box in boxes)


def test_dropped_anywhere_on_the_page(visit, photo_bytes):
    page = visit()
    content = base64.b64encode(photo_bytes()).decode()
    page.evaluate(DROP, [content, "dropped.jpg"])
    expect(page.locator("#pictures .name")).to_have_text("dropped.jpg")
    page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#headline")).to_contain_text("Most likely within")


def test_by_keyboard_alone(visit, photo_file):
    page = visit()

    def focused():
        return page.evaluate("() => document.activeElement.id || document.activeElement.className")

    # watched for from the start: Chromium takes a moment before it hands choosers over
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Tab")
        assert focused() == "skip"
        page.keyboard.press("Tab")
        assert focused() == "files"
        page.keyboard.press("Enter")
    chooser.value.set_files([photo_file(), photo_file(1)])
    expect(page.locator("#pictures li")).to_have_count(2)
    assert focused() == "go"
    page.keyboard.press("Enter")
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    expect(page.locator("#answer")).to_be_focused()
    reached = set()
    for _ in range(45):
        page.keyboard.press("Tab")
        reached |= set(focused().split())
    assert {"heat", "near", "whole", "map", "mark", "place-name", "copy", "clear"} <= reached
    page.locator(".remove").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#pictures li")).to_have_count(1)
    assert focused() == "remove"


def test_a_key_is_asked_for_and_kept_in_the_tab(visit, photo_file):
    page = visit(key=False)
    page.set_input_files("#files", [photo_file()])
    page.get_by_role("button", name="Ask where").click()
    field = page.get_by_label(KEY_FIELD)
    expect(field).to_be_focused()
    field.fill("a wrong key that is long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not know this API key")
    expect(field).to_be_focused()
    field.fill("a-key-for-the-tests-of-the-page")
    page.keyboard.press("Enter")
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    expect(page.locator("#version")).to_contain_text("geoloc")
    assert page.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]
    page.reload()
    ask(page, photo_file())
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    expect(field).to_be_hidden()


def test_too_large_is_said_in_plain_words(visit, photo_file):
    page = visit()
    large = photo_file(size=(1400, 1400), form="PNG", name="large.png")
    assert len(large["buffer"]) > 1_000_000
    ask(page, large, photo_file())
    assert states(page) == ["refused", "answered"]
    expect(page.locator("#pictures .state").first).to_contain_text("too much for one request")
    page.locator(".show").first.click()
    expect(page.locator("#headline")).to_have_text("No answer for this picture")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a letter, not an image", "not an image.* not sent"),
        (b"", "empty"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC image.* not sent.*as JPEG"),
        (b"\0\0\0\x18ftypavif" + bytes(40), "AVIF image.* not sent"),
        (b"GIF89a" + bytes(40), "GIF image.* not sent"),
        (b"II*\0" + bytes(40), "TIFF image.* not sent"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "damaged"),
        (b"BM" + bytes(40), "BMP image.* not sent"),
    ],
)
def test_a_refused_file_does_not_keep_the_others(visit, photo_file, content, words):
    page = visit()
    bad = {"name": "bad.jpg", "mimeType": "image/jpeg", "buffer": content}
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    ask(page, bad, photo_file())
    assert sum(url.endswith("/v1/locate") for url in sent) == 1
    assert states(page) == ["refused", "answered"]
    expect(page.locator("#pictures .state").first).to_contain_text(re.compile(words, re.I))
    expect(page.locator("#status")).to_contain_text("1 not answered")


def test_no_photograph_no_claim(visit):
    page = visit()
    ask(page, noise_file())
    assert states(page) == ["unsure"]
    expect(page.locator("#headline")).to_have_text("The model does not know where this was taken.")
    expect(page.locator("#detail")).to_contain_text("does not look like a photograph")
    expect(page.locator("#places-title")).to_have_text("Guesses, best first")


def test_several_pictures_each_with_its_own_answer_or_one_together(visit, photo_file):
    page = visit()
    files = [photo_file(seed) for seed in range(3)]
    with page.expect_response("**/v1/locate"):
        ask(page, *files)
    assert states(page) == ["answered"] * 3
    page.locator(".show").nth(2).click()
    expect(page.locator(".show").nth(2)).to_have_attribute("aria-current", "true")
    page.get_by_label("They all show one place").check()
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    with page.expect_response("**/v1/locate") as told:
        page.get_by_role("button", name="Ask where").click()
    expect(page.get_by_role("button", name="Ask where")).to_be_enabled()
    assert told.value.status == 200
    assert sum(url.endswith("/v1/locate") for url in sent) == 1
    assert states(page) == ["answered"] * 3
    expect(page.locator("#trust")).to_contain_text("3 pictures together")


def test_on_a_phone_everything_fits_and_works(visit, photo_file):
    page = visit(size=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.set_input_files("#files", [photo_file(name="a-name-" + "long-" * 30 + ".jpg")])
    page.get_by_role("button", name="Ask where").tap()
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    page.get_by_role("button", name="Whole Earth").tap()
    widths = page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths == [360, 360]
    tops = [
        page.locator(f"#{name}").bounding_box()["y"]
        for name in ("ask", "answer", "map-card", "places-card", "more-card")
    ]
    assert tops == sorted(tops)
    assert page.locator("#map canvas").count() > 0
