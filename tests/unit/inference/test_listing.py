"""Which images are asked about: folders below folders, endings, names on standard input."""

from __future__ import annotations

from pathlib import Path

from geoloc.inference.listing import list_images, names_of


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_folders_give_images_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    make(tmp_path, "in/z.JPG", "in/deep/er/a.jfif", "in/b.webp", "in/notes.txt", "in/.c.jpg", "d")
    make(tmp_path, "in/stereo.mpo", "in/film.mp4", "in/raw.dib")
    listed = list_images([tmp_path / "d", tmp_path / "in"])
    names = [path.relative_to(tmp_path).as_posix() for path in listed.files]
    assert names == ["d", "in/b.webp", "in/deep/er/a.jfif", "in/stereo.mpo", "in/z.JPG"]
    assert listed.folders
    assert listed.refusals == ()


def test_each_file_once_under_its_first_name(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    first = tmp_path / "b.jpg"
    listed = list_images([first, tmp_path, tmp_path / "x" / ".." / "a.jpg", first])
    assert [path.name for path in listed.files] == ["b.jpg", "a.jpg"]


def test_folders_without_images_are_refused_and_missing_files_kept(tmp_path: Path) -> None:
    make(tmp_path, "texts/notes.txt")
    endless = tmp_path / ("a" * 5000)
    listed = list_images([tmp_path / "texts", tmp_path / "nowhere.jpg", endless])
    assert [path.name for path in listed.files] == ["nowhere.jpg", "a" * 5000]
    assert [(each.source, each.kind) for each in listed.refusals] == [
        (str(tmp_path / "texts"), "no_images")
    ]
    assert list_images([endless]).folders is False


def test_names_by_line_or_by_nul() -> None:
    assert names_of(b"a b.jpg\n\nc.jpg") == [Path("a b.jpg"), Path("c.jpg")]
    assert names_of(b"a\nb.jpg\0c.jpg\0") == [Path("a\nb.jpg"), Path("c.jpg")]
    assert names_of(b"a b.jpg\r\n\r\nc.jpg\r\n") == [Path("a b.jpg"), Path("c.jpg")]
    assert names_of(b"a\r\0c.jpg\0") == [Path("a\r"), Path("c.jpg")]
    assert names_of(b"") == []
    assert bytes(names_of(b"\xff.jpg\n")[0]) == b"\xff.jpg"
