"""Damage of every kind we know: samples out plus samples counted as lost equal samples in."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from geoloc.data.decoding import decode_image
from geoloc.data.ledger import LossLedger
from geoloc.data.stream import ShardStream
from geoloc.data.verify import verify_shards
from geoloc.models.image_encoder import ImagePreset

COUNT = 12
VICTIM = 5
KEY = f"k{VICTIM:04d}"

Members = list[tuple[str, bytes]]


def read_tar(path: Path) -> Members:
    with tarfile.open(path) as tar:
        found = []
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            found.append((info.name, file.read()))
        return found


def pack(members: Members, *, extra: Callable[[tarfile.TarFile], None] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if extra is not None:
            extra(tar)
    return buffer.getvalue()


def place_in_tar(data: bytes, name: str) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmember(name)


def with_checksum(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + f"{sum(blank):06o}\0 ".encode() + header[156:]


def change(name: str, how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change one member; the tar around it stays sound."""

    def damage(shard: Path) -> None:
        members = read_tar(shard)
        assert name in dict(members)
        shard.write_bytes(pack([(n, how(d) if n == name else d) for n, d in members]))

    return damage


def change_json(**values: object) -> Callable[[Path], None]:
    def how(data: bytes) -> bytes:
        description = {**json.loads(data), **values}
        return json.dumps({k: v for k, v in description.items() if v != "DROP"}).encode()

    return change(f"{KEY}.json", how)


def change_image(how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return change(f"{KEY}.jpg", how)


def change_members(how: Callable[[Members], Members]) -> Callable[[Path], None]:
    return lambda shard: shard.write_bytes(pack(how(read_tar(shard)))) and None


def change_bytes(how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda shard: shard.write_bytes(how(shard.read_bytes())) and None


def random_bytes(count: int) -> bytes:
    return random.Random(0).randbytes(count)


def overwrite(data: bytes, at: int, patch: bytes) -> bytes:
    return data[:at] + patch + data[at + len(patch) :]


def bomb(_: bytes) -> bytes:
    """A PNG of 30,000 x 30,000 gray pixels (900 MP) in some hundred kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = zlib.compress(bytes(30_001) * 1_000, 9)
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def at_header(name: str, how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(data: bytes) -> bytes:
        at = place_in_tar(data, name).offset
        return overwrite(data, at, how(data[at : at + 512]))

    return change_bytes(damage)


def cut(name: str, *, inside: bool) -> Callable[[Path], None]:
    def damage(data: bytes) -> bytes:
        info = place_in_tar(data, name)
        return data[: info.offset_data + info.size // 2 if inside else info.offset]

    return change_bytes(damage)


def insert(name: str, what: bytes) -> Callable[[Path], None]:
    def damage(data: bytes) -> bytes:
        at = place_in_tar(data, name).offset
        return data[:at] + what + data[at:]

    return change_bytes(damage)


def wrong_size(new_size: Callable[[int], int]) -> Callable[[bytes], bytes]:
    def how(header: bytes) -> bytes:
        size = int(header[124:135], 8)
        return with_checksum(overwrite(header, 124, f"{new_size(size):011o}\0".encode()))

    return how


def swap_to_link(kind: bytes) -> Callable[[Path], None]:
    def damage(shard: Path) -> None:
        def add(tar: tarfile.TarFile) -> None:
            info = tarfile.TarInfo(f"{KEY}.jpg")
            info.type, info.linkname = kind, "k0000.jpg"
            tar.addfile(info)

        members = [(n, d) for n, d in read_tar(shard) if n != f"{KEY}.jpg"]
        shard.write_bytes(pack(members, extra=add))

    return damage


def add_folder(shard: Path) -> None:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("folder.jpg")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)

    shard.write_bytes(pack(read_tar(shard), extra=add))


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    do: Callable[[Path], object]
    lost: dict[str, int]
    surplus: int = 0


NONE: dict[str, int] = {}
AFTER = COUNT - VICTIM - 1

DAMAGES = {
    # The tar.
    "cut inside an image": Damage(
        do=cut(f"{KEY}.jpg", inside=True), lost={"torn": 1, "vanished": AFTER}
    ),
    "cut inside a json": Damage(
        do=cut(f"{KEY}.json", inside=True), lost={"torn": 1, "vanished": AFTER}
    ),
    "cut between samples": Damage(do=cut(f"{KEY}.jpg", inside=False), lost={"vanished": AFTER + 1}),
    "cut between image and json": Damage(
        do=cut(f"{KEY}.json", inside=False), lost={"missing_json": 1, "vanished": AFTER}
    ),
    "checksum of an image's header": Damage(
        do=at_header(f"{KEY}.jpg", lambda h: overwrite(h, 148, b"0000001")),
        lost={"missing_image": 1},
    ),
    "checksum of a json's header": Damage(
        do=at_header(f"{KEY}.json", lambda h: overwrite(h, 148, b"0000001")),
        lost={"missing_json": 1},
    ),
    "header of random bytes": Damage(
        do=at_header(f"{KEY}.jpg", lambda _: random_bytes(512)), lost={"missing_image": 1}
    ),
    "size that is no number": Damage(
        do=at_header(f"{KEY}.jpg", lambda h: with_checksum(overwrite(h, 124, b"xxxxxxxxxxx"))),
        lost={"missing_image": 1},
    ),
    "size beyond the end": Damage(
        do=at_header(f"{KEY}.jpg", wrong_size(lambda _: 8**8)), lost={"torn": 1}
    ),
    "size of gigabytes": Damage(
        do=at_header(f"{KEY}.jpg", wrong_size(lambda _: 8**11 - 1)), lost={"torn": 1}
    ),
    "size too large by a json": Damage(
        do=at_header(f"{KEY}.jpg", wrong_size(lambda n: n + 1024)), lost={"missing_json": 1}
    ),
    "size too small": Damage(
        do=at_header(f"{KEY}.jpg", wrong_size(lambda n: n // 2)), lost={"truncated": 1}
    ),
    "header of zeros": Damage(
        do=at_header(f"{KEY}.jpg", lambda _: bytes(512)), lost={"missing_image": 1}
    ),
    "blocks of zeros in between": Damage(do=insert(f"{KEY}.jpg", bytes(2048)), lost=NONE),
    "some zeros in between": Damage(do=insert(f"{KEY}.jpg", bytes(100)), lost=NONE),
    "zeros between image and json": Damage(do=insert(f"{KEY}.json", bytes(77)), lost=NONE),
    "random bytes in between": Damage(do=insert(f"{KEY}.jpg", random_bytes(1000)), lost=NONE),
    "bytes taken out": Damage(
        do=change_bytes(
            lambda d: d[: (at := place_in_tar(d, f"{KEY}.jpg").offset_data)] + d[at + 300 :]
        ),
        lost={"missing_json": 1},
    ),
    "the same tar twice": Damage(do=change_bytes(lambda d: d + d), lost=NONE, surplus=COUNT),
    "another tar behind": Damage(
        do=change_bytes(lambda d: d + pack([(f"other-{n}", b) for n, b in read_tar_bytes(d)][:6])),
        lost=NONE,
        surplus=3,
    ),
    "images first, then jsons": Damage(
        do=change_members(lambda m: sorted(m, key=lambda e: e[0].endswith("json"))), lost=NONE
    ),
    "members in random order": Damage(
        do=change_members(lambda m: random.Random(1).sample(m, len(m))), lost=NONE
    ),
    "no end mark": Damage(do=change_bytes(lambda d: d.rstrip(b"\0")), lost=NONE),
    "no byte": Damage(do=change_bytes(lambda _: b""), lost={"empty_shard": COUNT}),
    "tar without members": Damage(do=change_members(lambda _: []), lost={"empty_shard": COUNT}),
    "shard is gone": Damage(do=lambda shard: shard.unlink(), lost={"unreadable_shard": COUNT}),
    "no tar at all": Damage(
        do=change_bytes(lambda _: random_bytes(20_000)), lost={"unreadable_shard": COUNT}
    ),
    "gzip of no tar": Damage(
        do=change_bytes(lambda _: gzip.compress(random_bytes(5000), mtime=0)),
        lost={"unreadable_shard": COUNT},
    ),
    "gzip of the tar": Damage(do=change_bytes(lambda d: gzip.compress(d, mtime=0)), lost=NONE),
    "gzip header and garbage": Damage(
        do=change_bytes(lambda _: b"\x1f\x8b\x08\0" + random_bytes(5000)),
        lost={"unreadable_shard": COUNT},
    ),
    "gzip cut": Damage(
        do=change_bytes(lambda d: gzip.compress(d, mtime=0)[:40]),
        lost={"unreadable_shard": COUNT},
    ),
    # Members.
    "no json": Damage(
        do=change_members(lambda m: [e for e in m if e[0] != f"{KEY}.json"]),
        lost={"missing_json": 1},
    ),
    "no image": Damage(
        do=change_members(lambda m: [e for e in m if e[0] != f"{KEY}.jpg"]),
        lost={"missing_image": 1},
    ),
    "neither": Damage(
        do=change_members(lambda m: [e for e in m if not e[0].startswith(KEY)]),
        lost={"vanished": 1},
    ),
    "key of another sample": Damage(
        do=change_members(lambda m: [(n.replace(KEY, "k0004"), d) for n, d in m]),
        lost={"duplicate_key": 1},
    ),
    "one sample more than said": Damage(
        do=change_members(
            lambda m: [*m, *((n.replace(KEY, "z"), d) for n, d in m if n.startswith(KEY))]
        ),
        lost=NONE,
        surplus=1,
    ),
    "symbolic link for an image": Damage(
        do=swap_to_link(tarfile.SYMTYPE), lost={"missing_image": 1}
    ),
    "hard link for an image": Damage(do=swap_to_link(tarfile.LNKTYPE), lost={"missing_image": 1}),
    "folder for an image": Damage(do=swap_to_link(tarfile.DIRTYPE), lost={"missing_image": 1}),
    "folder besides": Damage(do=add_folder, lost=NONE),
    "unknown members": Damage(
        do=change_members(lambda m: [*m, (f"{KEY}.npy", b"x"), ("README", b"y"), ("a.cls", b"1")]),
        lost=NONE,
    ),
    # The json.
    "json cut": Damage(do=change(f"{KEY}.json", lambda d: d[:-9]), lost={"bad_json": 1}),
    "json empty": Damage(do=change(f"{KEY}.json", lambda _: b""), lost={"bad_json": 1}),
    "json of other bytes": Damage(
        do=change(f"{KEY}.json", lambda _: b"\xff\xfe\xfa"), lost={"bad_json": 1}
    ),
    "json nested deep": Damage(
        do=change(f"{KEY}.json", lambda _: b"[" * 100_000), lost={"bad_json": 1}
    ),
    "json is a list": Damage(
        do=change(f"{KEY}.json", lambda _: b"[48.1, 11.5]"), lost={"bad_json": 1}
    ),
    "NaN coordinate": Damage(
        do=change_json(latitude=float("nan")), lost={"coordinate_not_finite": 1}
    ),
    "infinite coordinate": Damage(
        do=change_json(longitude=float("inf")), lost={"coordinate_not_finite": 1}
    ),
    "no coordinate": Damage(do=change_json(longitude="DROP"), lost={"missing_coordinate": 1}),
    "null coordinate": Damage(do=change_json(latitude=None), lost={"missing_coordinate": 1}),
    "empty coordinate": Damage(do=change_json(latitude=""), lost={"missing_coordinate": 1}),
    "coordinate in words": Damage(
        do=change_json(latitude="north"), lost={"coordinate_not_a_number": 1}
    ),
    "coordinate is a list": Damage(
        do=change_json(latitude=[1.0]), lost={"coordinate_not_a_number": 1}
    ),
    "coordinate is true": Damage(
        do=change_json(latitude=True), lost={"coordinate_not_a_number": 1}
    ),
    "latitude 151": Damage(do=change_json(latitude=151.0), lost={"coordinate_out_of_range": 1}),
    "longitude 180.1": Damage(do=change_json(longitude=180.1), lost={"coordinate_out_of_range": 1}),
    # The image.
    "image empty": Damage(do=change_image(lambda _: b""), lost={"empty": 1}),
    "image is text": Damage(
        do=change_image(lambda _: b"<html>404</html>" * 50), lost={"not_an_image": 1}
    ),
    "image cut": Damage(do=change_image(lambda d: d[: len(d) // 2]), lost={"truncated": 1}),
    "PNG of 900 MP": Damage(do=change_image(bomb), lost={"too_large": 1}),
    "image of another sample": Damage(
        do=change_members(
            lambda m: [(n, dict(m)["k0004.jpg"] if n == f"{KEY}.jpg" else d) for n, d in m]
        ),
        lost={"checksum": 1},
    ),
    "a bit in the image": Damage(
        do=change_image(lambda d: overwrite(d, len(d) - 20, bytes([d[len(d) - 20] ^ 4]))),
        lost={"checksum": 1},
    ),
}


def read_tar_bytes(data: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def stream_all(
    folder: Path, preset: ImagePreset, **options: object
) -> tuple[list[str], LossLedger]:
    stream = ShardStream(
        folder, preset, batch_size=4, max_lost_share=1.0, shuffle_buffer=5, **options
    )
    keys = [key for batch in stream.epoch(0) for key in batch.key]
    return keys, stream.ledger


def test_there_are_enough_kinds_of_damage() -> None:
    assert len(DAMAGES) >= 22
    kinds = {kind for damage in DAMAGES.values() for kind in damage.lost}
    assert len(kinds) >= 17


@pytest.mark.parametrize("name", DAMAGES)
def test_every_sample_is_accounted_for(
    name: str, make_shards: Callable[..., Path], preset: ImagePreset
) -> None:
    damage = DAMAGES[name]
    folder = make_shards(2 * COUNT, per_shard=COUNT)
    damage.do(folder / "00000.tar")
    # Its SHA-256 would give any change away, and its index would see through most.
    (folder / "checksums.json").unlink()
    (folder / "00000.index.parquet").unlink()
    total = sum(json.loads((folder / "sizes.json").read_text()).values())

    report = verify_shards(folder)
    assert report.by_kind == damage.lost
    assert report.valid + report.lost == total == 2 * COUNT
    assert report.ledger.surplus == damage.surplus
    assert report.damaged == bool(damage.lost or damage.surplus)
    for check in report.shards:
        assert check.ledger.seen == check.expected == COUNT

    for options in ({"training": True}, {"training": False}):
        keys, ledger = stream_all(folder, preset, **options)
        assert ledger.by_kind == damage.lost
        assert len(keys) == len(set(keys)) == report.valid - ledger.left_out
        assert len(keys) + ledger.left_out + ledger.lost == total
        assert ledger.surplus == damage.surplus


@pytest.mark.parametrize("name", DAMAGES)
def test_with_an_index_what_is_given_is_what_was_written(
    name: str, make_shards: Callable[..., Path], preset: ImagePreset
) -> None:
    folder = make_shards(2 * COUNT, per_shard=COUNT)

    def pictures() -> tuple[dict[str, bytes], LossLedger]:
        stream = ShardStream(folder, preset, batch_size=4, max_lost_share=1.0, training=False)
        found = {
            key: image.numpy().tobytes() + place.numpy().tobytes()
            for batch in stream.epoch(0)
            for key, image, place in zip(batch.key, batch.image, batch.latlon_deg, strict=True)
        }
        return found, stream.ledger

    whole, _ = pictures()
    DAMAGES[name].do(folder / "00000.tar")
    found, ledger = pictures()
    assert found.items() <= whole.items()
    assert len(found) + ledger.lost == len(whole)
    # Damage to headers, and between members, costs nothing now.
    assert ledger.lost <= sum(DAMAGES[name].lost.values())


@pytest.mark.parametrize("name", DAMAGES)
def test_without_sizes_damage_is_never_silent(
    name: str, make_shards: Callable[..., Path], preset: ImagePreset
) -> None:
    damage = DAMAGES[name]
    folder = make_shards(COUNT, per_shard=COUNT)
    damage.do(folder / "00000.tar")
    (folder / "sizes.json").unlink()
    (folder / "00000.index.parquet").unlink()
    if name == "shard is gone":
        return
    report = verify_shards(folder)
    keys, ledger = stream_all(folder, preset, training=False)
    assert ledger.by_kind == report.by_kind
    assert len(keys) == report.valid
    # What leaves no trace at all is known to sizes.json alone.
    traceless = {"cut between samples", "neither"}
    if damage.lost and name not in traceless:
        assert report.lost >= 1


def test_image_damage_in_jpegs_is_found(
    make_shards: Callable[..., Path], preset: ImagePreset
) -> None:
    """4 KB of random bytes, 512 zero bytes: many of these decode; none may pass for valid."""
    decoded = 0
    for trial in range(12):
        folder = make_shards(2, per_shard=2, name=f"jpeg{trial}", side=512)
        shard = folder / "00000.tar"
        rng = random.Random(trial)
        image = dict(read_tar(shard))["k0001.jpg"]
        patch = rng.randbytes(4096) if trial % 2 else bytes(512)
        at = rng.randrange(700, len(image) - len(patch))
        damaged = overwrite(image, at, patch)
        change("k0001.jpg", lambda _, d=damaged: d)(shard)
        try:
            decode_image(damaged)
            decoded += 1
        except ValueError:
            pass
        report = verify_shards(folder)
        assert (report.valid, report.lost) == (1, 1)
        assert set(report.by_kind) <= {"checksum", "corrupt", "truncated", "not_an_image"}
        assert stream_all(folder, preset, training=False)[1].by_kind == report.by_kind
    assert decoded > 0, "the checksum was not needed, so this test shows less than it says"


def test_a_pickle_in_a_shard_is_never_executed(
    make_shards: Callable[..., Path], preset: ImagePreset, tmp_path: Path
) -> None:
    trace = tmp_path / "executed"
    # Protocol 0 of: os.system('touch ...').
    payload = f"cos\nsystem\n(S'touch {trace}'\ntR.".encode()
    folder = make_shards(4, per_shard=4)
    shard = folder / "00000.tar"
    members = read_tar(shard)
    names = ("k0001.pkl", "k0001.pickle", "z.pyd", "k0001.pth", "k0001.npy")
    shard.write_bytes(pack([*members, *((name, payload) for name in names)]))
    assert verify_shards(folder).valid == 4
    assert len(stream_all(folder, preset)[0]) == 4
    assert not trace.exists()
    import pickle

    pickle.loads(payload)  # noqa: S301
    assert trace.exists(), "the payload does nothing, so this test shows nothing"


def test_the_bomb_is_a_bomb() -> None:
    data = bomb(b"")
    assert len(data) < 1_000_000
    previous, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (30_000, 30_000)
    finally:
        Image.MAX_IMAGE_PIXELS = previous


def test_random_damage_never_breaks_the_balance(
    make_shards: Callable[..., Path], preset: ImagePreset
) -> None:
    folder = make_shards(COUNT, per_shard=COUNT)
    shard = folder / "00000.tar"
    (folder / "00000.index.parquet").unlink()
    whole = shard.read_bytes()
    for trial in range(60):
        rng = random.Random(trial)
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            at, length = rng.randrange(len(data)), rng.randrange(1, 3000)
            match rng.randrange(4):
                case 0:
                    data[at : at + length] = rng.randbytes(length)
                case 1:
                    data[at : at + length] = b""
                case 2:
                    data[at:at] = rng.randbytes(length)
                case _:
                    data[at : at + length] = bytes(length)
        shard.write_bytes(data)
        report = verify_shards(folder)
        assert report.valid + report.lost == COUNT, trial
        keys, ledger = stream_all(folder, preset, training=False)
        assert ledger.by_kind == report.by_kind
        assert len(keys) == report.valid
