"""From a shard to its samples, with an account of every one that the shard is said to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from geoloc.data.encoded_image import EncodedImage
from geoloc.data.ledger import LostSample
from geoloc.data.member_names import JSON_ENDING, is_known, split_member_name
from geoloc.data.record import PlaceError, Record, SampleError, checksum, parse_record
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.sidecars import shard_name
from geoloc.data.tar_members import TarMember, TarScanner
from geoloc.errors import ImageError

MAX_PENDING_BYTES = 256 * 2**20

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSample:
    """A whole sample as its shard has it, not looked into yet.

    Attributes:
        image_at, json_at: where the bytes begin in the shard.
        image_crc32: of the image's bytes (`checksum`), if it was computed already.
        altered: whether the image's bytes are known not to be those that were indexed.
    """

    key: str
    image_bytes: bytes
    json_bytes: bytes
    shard: str
    image_at: int = 0
    json_at: int = 0
    image_crc32: str | None = None
    altered: bool = False


@dataclass(slots=True)
class _Parts:
    """What has come of a key so far.

    Attributes:
        endings: kinds of members that came.
        again: kinds that came a second time and are not counted as a duplicate yet.
        closed: whether its sample is given or lost already.
        at: where the bytes of image and json begin in the shard.
    """

    image: bytes | None = None
    json: bytes | None = None
    torn: bool = False
    closed: bool = False
    endings: set[str] = field(default_factory=set[str])
    again: set[str] = field(default_factory=set[str])
    at: tuple[int, int] = (0, 0)

    def take(self, ending: str, member: TarMember) -> None:
        self.endings.add(ending)
        if ending == JSON_ENDING:
            self.json, self.at = member.data, (self.at[0], member.at)
        elif self.image is None:
            self.image, self.at = member.data, (member.at, self.at[1])
        self.torn = self.torn or member.data is None

    def is_new_duplicate(self, ending: str) -> bool:
        """Whether a member that came before begins one more sample of the key."""
        begins = not self.again or ending in self.again
        self.again = {ending} if begins else self.again | {ending}
        return begins

    @property
    def byte_count(self) -> int:
        return len(self.image or b"") + len(self.json or b"")

    @property
    def kind_of_loss(self) -> str:
        if self.torn:
            return "torn"
        return "missing_image" if self.image is None else "missing_json"

    def close(self) -> None:
        self.image, self.json, self.closed = None, None, True


class ShardReader:
    """Reads one shard once; iterate over it.

    Whole samples come as soon as both members are there, wherever in the shard they stand. What
    cannot be had comes at the end of the shard, as `LostSample`:

    - ``missing_image``, ``missing_json``: only the other member is there;
    - ``torn``: the bytes of a member break off;
    - ``duplicate_key``: the key came before (the first sample of it is kept);
    - ``vanished``: expected, but nothing is left of it;
    - ``empty_shard``, ``unreadable_shard``: not one sample is left, because there is no byte but
      zeros, or because the shard is missing or is no tar.

    With a known number, samples given plus samples lost equal it, whatever the damage; what
    lies beyond is marked as surplus. Without one, what can be seen is counted; damage that leaves
    no other sign counts as one ``vanished``, and a shard without any sample as one.

    Args:
        url: see `ShardOpener.open`.
        expected: number of samples that it is said to hold; None if nobody says.
        opener: what opens it; None opens it without a cache.

    Attributes:
        faults: what the scanner met, after iteration.
        given: whole samples given so far.
    """

    def __init__(
        self, url: str, *, expected: int | None, opener: ShardOpener | None = None
    ) -> None:
        self.faults: list[str] = []
        self.given = 0
        self._url = url
        self._name = shard_name(url)
        self._expected = expected
        self._opener = opener or ShardOpener()
        self._parts: dict[str, _Parts] = {}
        # Keys whose sample is not whole yet, oldest first.
        self._pending: dict[str, None] = {}
        self._pending_bytes = 0
        self._lost: list[LostSample] = []

    def __iter__(self) -> Iterator[RawSample | LostSample]:
        try:
            stream = self._opener.open(self._url)
        except OSError as error:
            self.faults.append(f"cannot be opened: {error}")
            yield from self._account(saw_data=True)
            return
        with closing(stream):
            scanner = TarScanner(stream)
            for member in scanner.members(is_known):
                sample = self._take(member)
                if sample is not None:
                    yield sample
        self.faults.extend(scanner.faults)
        yield from self._account(saw_data=scanner.saw_data or bool(scanner.faults))

    def _take(self, member: TarMember) -> RawSample | LostSample | None:
        key, ending = split_member_name(member.name)
        parts = self._parts.setdefault(key, _Parts())
        if ending in parts.endings:
            if parts.is_new_duplicate(ending):
                self._lost.append(LostSample(kind="duplicate_key", key=key, shard=self._name))
            return None
        if parts.closed:
            return None
        self._pending[key] = None
        self._pending_bytes -= parts.byte_count
        parts.take(ending, member)
        self._pending_bytes += parts.byte_count
        if parts.image is not None and parts.json is not None and not parts.torn:
            return self._give(key, parts.image, parts.json, parts.at)
        while self._pending_bytes > MAX_PENDING_BYTES:
            self._lose(next(iter(self._pending)))
        return None

    def _give(
        self, key: str, image: bytes, json_bytes: bytes, at: tuple[int, int]
    ) -> RawSample | LostSample:
        self._close(key)
        if self._expected is not None and self.given >= self._expected:
            return LostSample(kind="surplus", key=key, shard=self._name, surplus=True)
        self.given += 1
        return RawSample(
            key=key,
            image_bytes=image,
            json_bytes=json_bytes,
            shard=self._name,
            image_at=at[0],
            json_at=at[1],
        )

    def _lose(self, key: str) -> None:
        kind = self._parts[key].kind_of_loss
        self._close(key)
        self._lost.append(LostSample(kind=kind, key=key, shard=self._name))

    def _close(self, key: str) -> None:
        parts = self._parts[key]
        self._pending_bytes -= parts.byte_count
        parts.close()
        del self._pending[key]

    def _account(self, *, saw_data: bool) -> Iterator[LostSample]:
        for key in list(self._pending):
            self._lose(key)
        room = len(self._lost) if self._expected is None else self._expected - self.given
        yield from self._lost[:room]
        for lost in self._lost[room:]:
            yield LostSample(kind=lost.kind, key=lost.key, shard=self._name, surplus=True)
        missing = room - len(self._lost)
        if self._expected is None:
            nothing = not self.given and not self._lost
            missing = int(nothing or (bool(self.faults) and not self._lost))
        if missing > 0:
            detail = "; ".join(self.faults[:3])
            kind = self._kind_of_void(saw_data=saw_data)
            yield LostSample(kind=kind, shard=self._name, count=missing, detail=detail)

    def _kind_of_void(self, *, saw_data: bool) -> str:
        if self._parts:
            return "vanished"
        return "unreadable_shard" if saw_data else "empty_shard"


def open_sample(
    raw: RawSample, picture: Callable[[EncodedImage, str], T]
) -> tuple[Record, T] | LostSample:
    """The record of a sample and what is made of its image, or why it is lost.

    The image is decoded strictly. Where its json has a checksum that does not fit, it is lost in
    any case: damage that still decodes is kind ``checksum``. Other kinds: those of `decode_image`,
    `place_of` and ``bad_json``.

    Args:
        raw: the sample.
        picture: makes something of the image, by decoding it; the key is the second argument.
    """
    try:
        record, expected = parse_record(
            raw.key, image_bytes=raw.image_bytes, json_bytes=raw.json_bytes
        )
        made = picture(EncodedImage(raw.image_bytes, name=raw.key), raw.key)
        found = raw.image_crc32 or checksum(raw.image_bytes)
        if raw.altered or (expected is not None and expected != found):
            raise SampleError("the bytes are not those that were written", kind="checksum")
    except (PlaceError, SampleError, ImageError) as error:
        return LostSample(kind=error.kind, key=raw.key, shard=raw.shard, detail=str(error))
    return record, made
