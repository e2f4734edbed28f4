"""What the page says where something goes wrong: the service, the network, what comes back."""

import pytest
from playwright.sync_api import expect

KEY_FIELD = "This service asks for an API key"


def ask(page, *files):
    page.set_input_files("#files", list(files))
    page.get_by_role("button", name="Ask where").click()
    expect(page.get_by_role("button", name="Ask where")).to_be_enabled()


def states(page):
    return page.locator("#pictures li").evaluate_all("rows => rows.map((row) => row.dataset.state)")


def test_a_service_that_is_gone_is_said_and_can_be_asked_again(visit, photo_file):
    page = visit()
    page.route("**/v1/locate", lambda route: route.abort())
    ask(page, photo_file())
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.unroute("**/v1/locate")
    page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_busy_service_is_waited_for(visit, photo_file):
    page = visit()
    calls = []

    def busy_once(route):
        calls.append(route.request.url)
        if len(calls) > 1:
            route.continue_()
            return
        error = {"error": {"kind": "queue_full", "message": "try again"}}
        route.fulfill(status=503, headers={"Retry-After": "1"}, json=error)

    page.route("**/v1/locate", busy_once)
    page.set_input_files("#files", [photo_file()])
    page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#pictures .state")).to_contain_text("busy")
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    assert len(calls) == 2


def test_coarseness_is_learnt_late_if_not_at_once(visit, photo_file):
    page = visit(before="**/v1/about")
    ask(page, photo_file())
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    expect(page.locator("#coarse")).to_contain_text("has not said whether it rounds")
    page.unroute("**/v1/about")
    page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#coarse")).to_contain_text("rounded to cells of 25")
    expect(page.locator("#version")).to_contain_text("geoloc")


def test_names_of_places_are_words_not_html(visit, photo_file):
    page = visit()
    name = "<img src=static/icon.svg class=planted>"

    def rename(route):
        response = route.fetch()
        document = response.json()
        for place in document["answers"][0]["places"]:
            place |= {"region": name, "country": name, "city": name, "city_km": 1.0}
        route.fulfill(response=response, json=document)

    page.route("**/v1/locate", rename)
    ask(page, photo_file())
    page.locator(".leaflet-marker-pane .mark:not([aria-hidden])").first.hover()
    expect(page.locator(".leaflet-tooltip")).to_contain_text(name)
    assert page.locator(".planted").count() == 0


@pytest.mark.parametrize("body", ["<p>a portal</p>", "null", "{}"])
def test_an_answer_that_is_none_is_said(visit, photo_file, body):
    page = visit()
    page.route("**/v1/locate", lambda route: route.fulfill(status=200, body=body))
    ask(page, photo_file())
    assert states(page) == ["refused"]
    expect(page.get_by_role("alert")).to_contain_text("something that is no answer")


def test_a_key_that_no_header_can_carry_is_unknown(visit, photo_file):
    page = visit(key=False)
    page.set_input_files("#files", [photo_file()])
    page.get_by_role("button", name="Ask where").click()
    page.get_by_label(KEY_FIELD).fill("ключ-ключ-ключ-ключ")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not know this API key")
    expect(page.get_by_label(KEY_FIELD)).to_be_focused()


def test_without_land_there_are_words_and_no_map(visit, photo_file):
    page = visit(before="**/static/land.json")
    expect(page.locator("#map")).to_contain_text("could not be loaded")
    ask(page, photo_file())
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    assert page.locator("#places li").count() > 0
    page.locator("#places li").first.get_by_role("button").first.click()
    expect(page.locator("#status")).to_contain_text("Chosen: 1, ")
    expect(page.locator("#legend")).to_be_hidden()


def test_a_picture_removed_while_it_is_asked_about_is_gone(visit, photo_file):
    page = visit()
    held = []
    page.route("**/v1/locate", lambda route: held.append(route))
    page.set_input_files("#files", [photo_file(), photo_file(1)])
    with page.expect_request("**/v1/locate"):
        page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#pictures li[data-state=sending]")).to_have_count(2)
    page.get_by_role("button", name="Remove photo-0.jpg").click()
    page.get_by_role("button", name="Remove photo-1.jpg").click()
    while len(held) < 2:
        page.wait_for_timeout(20)
    for route in held:
        route.continue_()
    expect(page.locator("#go")).to_be_enabled()
    expect(page.locator("#headline")).to_have_text("No answer yet")
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.locator("#places-card")).to_be_hidden()
