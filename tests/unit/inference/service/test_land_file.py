"""The page's land is the package's land, and the page's files ask nobody else."""

import hashlib
import json
import re

import numpy as np
import shapely

from geoloc.inference.service.land_file import LAND_FILE, land_json
from geoloc.places import Areas

PAGE = LAND_FILE.parent


def shapes(text):
    file = json.loads(text)

    def lonlat(steps):
        return np.cumsum(np.array(steps).reshape(-1, 2), axis=0) / file["units_per_deg"]

    polygons = [
        shapely.make_valid(shapely.Polygon(lonlat(outer), [lonlat(hole) for hole in holes]))
        for outer, *holes in file["land"]
    ]
    lines = shapely.linestrings
    return shapely.union_all(polygons), shapely.union_all(
        [lines(lonlat(b)) for b in file["borders"]]
    )


def test_the_file_is_what_the_command_makes():
    kept, made = LAND_FILE.read_text(), land_json(Areas.load())
    # another GEOS may order polygons and start rings differently
    if kept != made:
        (land, borders), (land_now, borders_now) = shapes(kept), shapes(made)
        assert land.symmetric_difference(land_now).area < 0.5
        assert abs(borders.length - borders_now.length) < 0.5


def test_land_and_sea_are_where_they_are():
    land, borders = shapes(LAND_FILE.read_text())
    generator = np.random.default_rng(0)
    places = np.stack(
        [generator.uniform(-89, 89, 1000), generator.uniform(-180, 180, 1000)], axis=1
    )
    drawn = shapely.contains_xy(land, places[:, 1], places[:, 0])
    assert (drawn == Areas.load().is_land(places)).mean() > 0.995
    assert land.bounds == (-180.0, -90.0, 180.0, land.bounds[3])
    # the Caspian is a hole, Antarctica reaches the pole, and Paris and Madrid have a border between
    assert not shapely.contains_xy(land, 51.0, 42.0)
    assert shapely.contains_xy(land, 0.0, -89.5)
    assert borders.intersects(shapely.LineString([(2.35, 48.86), (-3.7, 40.42)]))
    assert not borders.intersects(shapely.LineString([(-160, 0), (-110, 0)]))


def test_no_file_of_the_page_names_another_host():
    own = [path for path in PAGE.iterdir() if path.suffix in {".html", ".js", ".css", ".svg"}]
    assert len(own) >= 12
    for path in own:
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]", text), path.name
        assert len(text.splitlines()) <= 300, path.name


def test_no_inline_script_or_style():
    page = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script>|javascript:", page)


def test_vendored_files_are_the_ones_noted():
    folder = PAGE / "vendor" / "leaflet"
    notes = (folder / "VENDORED.md").read_text()
    files = [path for path in folder.iterdir() if path.name != "VENDORED.md"]
    assert {path.name for path in files} == {"leaflet.js", "leaflet.css", "LICENSE"}
    for path in files:
        assert f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" in notes, path.name
