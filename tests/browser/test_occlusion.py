"""The overlay over the picture, by the real service, and by maps that are known."""

import numpy as np
from playwright.sync_api import expect

ALPHA = """() => {
  const canvas = document.getElementById('occlusion');
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const alpha = [];
  for (let i = 3; i < data.length; i += 4) alpha.push(data[i]);
  return [width, height, alpha];
}"""
BUTTON = "What in the picture says so?"


def known_map(row, column, *, reliable=True, seen=(0.0, 0.0, 1.0, 1.0)):
    effect = np.zeros((5, 5))
    effect[row, column] = np.log(4.0)
    return {
        "schema_version": 1,
        "source": "picture-1",
        "cells": 5,
        "seen": list(seen),
        "patch": 0.3,
        "effect": effect.tolist(),
        "strongest": [row, column],
        "near_km": 200.0,
        "near_probability": 0.6,
        "reliable": reliable,
        "words": "words",
    }


def asked(visit, photo_file, answer):
    page = visit()
    if answer is not None:
        page.route("**/v1/explain", lambda route: route.fulfill(json=answer))
    page.set_input_files("#files", [photo_file()])
    page.get_by_role("button", name="Ask where").click()
    expect(page.locator("#headline")).to_contain_text("Most likely within")
    button = page.get_by_role("button", name=BUTTON)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    return page


def test_the_real_service_is_asked(visit, photo_file):
    page = asked(visit, photo_file, None)
    expect(page.locator("#explained")).to_contain_text(
        "covered"
        if page.locator("#occlusion").is_visible()
        else "No part of the picture can be named"
    )


def test_the_part_that_counts_is_painted_and_what_the_model_does_not_see_is_dimmed(
    visit, photo_file
):
    page = asked(visit, photo_file, known_map(1, 3, seen=(0.125, 0.0, 0.875, 1.0)))
    expect(page.locator("#explained")).to_contain_text("from 60 % to 15 %")
    width, height, alpha = page.evaluate(ALPHA)
    assert (width, height) == (96, 72)
    alpha = np.array(alpha).reshape(height, width)
    assert alpha[:, :10].min() > 100
    assert alpha[:, -10:].min() > 100
    row, column = np.unravel_index(alpha[:, 14:-14].argmax(), (72, 68))
    assert abs(row - 72 * 1.5 / 5) <= 8
    assert abs(column + 14 - (12 + 72 * 3.5 / 5)) <= 8
    assert alpha[60:, 20:60].max() == 0
    page.get_by_role("button", name=BUTTON).click()
    expect(page.locator("#occlusion")).to_be_hidden()


def test_a_map_of_noise_is_not_painted(visit, photo_file):
    page = asked(visit, photo_file, known_map(1, 3, reliable=False))
    expect(page.locator("#explained")).to_contain_text("No part of the picture can be named")
    expect(page.locator("#occlusion")).to_be_hidden()
