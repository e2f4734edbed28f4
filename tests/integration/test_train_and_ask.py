"""From nothing to an answered query on Earth tiles, through the command line alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from geoloc import Geolocator
from geoloc.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", str(ROOT / "configs/smoke/demo.yaml")]) == 0
        assert main(["evaluate", "runs/smoke_demo"]) == 0
    return folder


@pytest.fixture
def inside(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_model_beats_ignorance_on_the_easy_split(inside):
    reports = json.loads(Path("runs/smoke_demo/evaluation/easy/report.json").read_text())
    assert [report["protocol"] for report in reports] == [
        "osv5m-official",
        "osv5m-clean",
        "geoclip",
    ]
    median = {row["name"]: row["scores"]["summary"]["median_km"] for row in reports[0]["rows"]}
    model = median["training-places"]
    assert model < 0.75 * median["constant guess (least median)"]
    assert model < 0.75 * median["random gallery place"]
    assert reports[0]["lost"]["total"] == 0


def test_training_again_says_that_it_is_done(inside, capsys):
    config = str(ROOT / "configs/smoke/demo.yaml")
    assert main(["train", config]) == 2
    assert "resume=auto" in capsys.readouterr().err
    assert main(["train", config, "resume=auto"]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["train", config, "resume=auto", "optimizer.learning_rate=1e-5"]) == 2
    assert "optimizer.learning_rate" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "geojson", "csv", "kml"])
def test_query_answers_in_every_format(inside, form, capsys):
    images = "data/earth_tiles_smoke_demo/unseen"
    assert main(["query", images, "--top-k", "3", "--format", form]) == 0
    out = capsys.readouterr().out
    if form == "json":
        answers = json.loads(out)["answers"]
        assert len(answers) == 12
        assert all(len(answer["places"]) == 3 for answer in answers)
    if form == "geojson":
        assert json.loads(out)["type"] == "FeatureCollection"
    if form == "csv":
        assert len(out.strip().splitlines()) == 1 + 12 * 3
    if form == "jsonl":
        assert sum("answer" in json.loads(line) for line in out.splitlines()) == 12
    if form == "kml":
        assert out.count("<Folder>") == 12


def test_bad_files_get_a_line_each_and_the_rest_is_answered(inside, tmp_path, capsys):
    text = tmp_path / "notes.jpg"
    text.write_text("not an image")
    good = next(Path("data/earth_tiles_smoke_demo/unseen").glob("*.jpg"))
    words = ["query", str(tmp_path / "nowhere.jpg"), str(text), str(good), "--format", "json"]
    assert main(words) == 2
    told = capsys.readouterr()
    assert len(json.loads(told.out)["answers"]) == 1
    lines = told.err.strip().splitlines()
    assert len(lines) == 3
    assert "nowhere.jpg" in lines[0]
    assert "notes.jpg" in lines[1]
    assert lines[2].endswith("2 refused")


def test_query_without_any_run_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["query", "x.jpg"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_maps_are_drawn(inside, tmp_path):
    image = str(next(Path("data/earth_tiles_smoke_demo/unseen").glob("*.jpg")))
    assert main(["query", image, "--map", str(tmp_path / "map.png")]) == 0
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.width >= 800
    assert main(["query", image, "--map", str(tmp_path / "map.html")]) == 0
    assert (
        "<svg" in (tmp_path / "map.html").read_text()
        or "data:image/png" in (tmp_path / "map.html").read_text()
    )
    assert main(["query", image, "--map", str(tmp_path / "map.gif")]) == 2


def test_python_gives_the_answer_of_the_command_line(inside, capsys):
    image = next(Path("data/earth_tiles_smoke_demo/unseen").glob("*.jpg"))
    main(["query", str(image), "--format", "json"])
    told = json.loads(capsys.readouterr().out)["answers"][0]["places"][0]
    answer = Geolocator.load("runs/smoke_demo").locate(image, top_k=5)
    assert answer.places[0].latlon_deg == pytest.approx(
        (told["latitude_deg"], told["longitude_deg"]), abs=1e-5
    )
    assert len(answer.places) == 5


def test_gallery_embed_and_config_commands(inside, tmp_path, capsys):
    places = tmp_path / "harbours.csv"
    places.write_text("name,latitude,longitude\nHamburg,53.5,9.9\nRotterdam,51.9,4.5\n")
    assert main(["gallery", "build", "--run", "runs/smoke_demo", "--places", str(places)]) == 0
    image = str(next(Path("data/earth_tiles_smoke_demo/unseen").glob("*.jpg")))
    words = ["query", image, "--gallery", "harbours", "--top-k", "2", "--format", "csv"]
    capsys.readouterr()
    assert main(words) == 0
    answers = capsys.readouterr().out
    assert "Hamburg" in answers
    assert "Rotterdam" in answers
    shards = "data/earth_tiles_smoke_demo/test_easy"
    assert main(["embed", "runs/smoke_demo", "--data", shards, "--out", str(tmp_path / "e")]) == 0
    assert "60 embeddings of 128" in capsys.readouterr().out
    assert main(["config", str(ROOT / "configs/demo.yaml"), "seed=7"]) == 0
    assert "seed: 7" in capsys.readouterr().out


def test_reference_images_answer_beside_places(inside, tmp_path, capsys):
    data, run = "data/earth_tiles_smoke_demo", "runs/smoke_demo"
    references = str(tmp_path / "references")
    assert main(["embed", run, "--data", f"{data}/train", "--out", references]) == 0
    image = str(next(Path(f"{data}/unseen").glob("*.jpg")))
    words = ["query", image, "--references", references, "--top-k", "2", "--format", "json"]
    told = {}
    for mode in ("place", "image", "combined"):
        capsys.readouterr()
        assert main([*words, "--mode", mode, "--csls"]) == 0
        told[mode] = json.loads(capsys.readouterr().out)["answers"][0]
    assert [answer["basis"]["gallery"] for answer in told.values()] == [
        "training-places",
        "images",
        "combined",
    ]
    assert [place["reference"] for place in told["place"]["places"]] == [None, None]
    assert told["image"]["places"][0]["reference"].startswith("train-")
    # Every training place has its training image.
    assert told["combined"]["places"][0]["reference"].startswith("train-")
    assert main(words[:-2]) == 0
    assert ", as in train-" in capsys.readouterr().out
    assert main(["query", "--text", "a fjord", "--run", run]) == 2
    assert "no text tower" in capsys.readouterr().err
    others = ["--out", str(tmp_path / "o"), "--gallery", "even-land", "--references", references]
    assert main(["evaluate", run, *others, "--data", f"easy={data}/test_easy"]) == 0
    assert "combined" in capsys.readouterr().out
    assert (tmp_path / "o/easy/images/predictions.parquet").is_file()


def test_unfinished_runs_are_not_asked(inside, tmp_path, capsys):
    shutil.copytree("runs/smoke_demo", tmp_path / "runs/half")
    record = tmp_path / "runs/half/run.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    half = str(tmp_path / "runs/half")
    shards = "data/earth_tiles_smoke_demo/test_easy"
    for words in (
        ["query", "x.jpg", "--run", half],
        ["evaluate", half],
        ["embed", half, "--data", shards, "--out", str(tmp_path / "e")],
        ["gallery", "build", "--run", half],
    ):
        assert main(words) == 2
        assert "finished" in capsys.readouterr().err
    words = ["evaluate", half, "--unfinished", "--data", shards, "--gallery", "even-land"]
    assert main([*words, "--index", "faiss-flat"]) == 0
    assert "NOT FINISHED" in capsys.readouterr().out
    assert (tmp_path / "runs/half/evaluation/test_easy/even-land/predictions.parquet").is_file()


def test_text_tells_how_far_off_the_first_answer_is(inside, tmp_path, capsys):
    images = sorted(Path("data/earth_tiles_smoke_demo/unseen").glob("*.jpg"))[:2]
    truth = tmp_path / "truth.csv"
    truth.write_text(f"file,latitude,longitude\n{images[0].name},10,20\n")
    words = ["query", *map(str, images), "--truth", str(truth)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.count(" km from the first answer") == 1
    truth.write_text("file,latitude,longitude\nother.jpg,10,20\n")
    assert main(words) == 0
    assert "names none of the images" in capsys.readouterr().err
    truth.write_text(f"file,latitude,longitude\n{images[0].name},100,20\n")
    assert main(words) == 2
    assert "not on Earth" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_one_line(inside, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    run, shards = "runs/smoke_demo", "data/earth_tiles_smoke_demo/test_easy"
    for words in (
        ["query", "x.jpg"],
        ["evaluate", run],
        ["embed", run, "--data", shards, "--out", "e"],
        ["gallery", "build", "--run", run],
    ):
        assert main([*words, "--device", "cuda"]) == 2
        told = capsys.readouterr().err
        assert "no GPU" in told
        assert len(told.strip().splitlines()) == 1


def test_entry_scripts_run():
    for script in ("train.py", "eval.py"):
        done = subprocess.run(
            [sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert "usage: geoloc" in done.stdout
