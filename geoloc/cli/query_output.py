"""Where the answers of `geoloc query` go: a terminal, a file, a growing file, a map."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from geoloc.cli.query_arguments import asked_format
from geoloc.cli.query_targets import is_special, written_file
from geoloc.cli.query_truths import Truths, truth_of

if TYPE_CHECKING:
    from geoloc.inference import AnswerFormat
    from geoloc.inference.answer_lines import AnswerLines, FileKey
    from geoloc.inference.asking import AskedImage
    from geoloc.inference.camera import CameraPlace, ExifMode


class Output(Protocol):
    """Takes what comes of each image, in order."""

    def add(self, asked: AskedImage) -> None:
        """Take one."""
        ...

    def is_done(self, key: FileKey) -> bool:
        """Whether a file's answer is there already, from an earlier time."""
        ...


@dataclass(kw_only=True)
class PrintedText:
    """Text on standard output, an image as soon as it is answered; refusals are told elsewhere."""

    truths: Truths
    started: bool = False

    def add(self, asked: AskedImage) -> None:
        """Print one."""
        from geoloc.inference import Refusal

        if not isinstance(asked.result, Refusal):
            space = "\n" if self.started else ""
            print(space + _text([asked], self.truths), end="", flush=True)
            self.started = True

    def is_done(self, key: FileKey) -> bool:
        """Never."""
        return False


@dataclass(kw_only=True)
class Lines:
    """JSON lines, an image as soon as it is answered, in a file or on standard output."""

    exif: ExifMode
    file: AnswerLines | None

    def add(self, asked: AskedImage) -> None:
        """Append or print one."""
        from geoloc.inference.answer_lines import line_text
        from geoloc.inference.asking import asked_json

        content = asked_json(asked, exif=self.exif)
        if self.file is None:
            print(line_text(content), end="", flush=True)
        else:
            self.file.append(content, key=asked.key)

    def is_done(self, key: FileKey) -> bool:
        """Whether the file holds its line."""
        return self.file is not None and self.file.is_done(key)


@dataclass(kw_only=True)
class Document:
    """All answers at once, on standard output or in a file that is whole or absent."""

    form: str
    out: Path | None
    exif: ExifMode
    truths: Truths
    several: list[AskedImage] = field(default_factory=list["AskedImage"])

    def add(self, asked: AskedImage) -> None:
        """Keep one."""
        self.several.append(asked)

    def is_done(self, key: FileKey) -> bool:
        """Never."""
        return False

    def write(self) -> None:
        """Write them all."""
        from geoloc.artifacts import write_text
        from geoloc.inference import format_answers

        if self.form == "text":
            text = _text(self.several, self.truths)
        else:
            results = [asked.result for asked in self.several]
            cameras = _cameras(self.several) if self.exif in {"report", "compare"} else None
            text = format_answers(results, cast("AnswerFormat", self.form), cameras)
        content = text.encode("utf-8", "backslashreplace")
        if self.out is None:
            print(text, end="")
        elif is_special(self.out):
            with self.out.open("wb") as stream:
                stream.write(content)
        else:
            write_text(written_file(self.out), content.decode())


@contextmanager
def opened_output(
    args: argparse.Namespace, query: Mapping[str, object], truths: Truths
) -> Generator[Output]:
    """Where the answers go, as the arguments say; a document is written where all went well.

    Args:
        args: the parsed arguments.
        query: what is asked, for lines (see `query_json`).
        truths: true places by names of files, for text.

    Raises:
        ConfigError: a file of lines that holds other answers, or is not to be gone on with.
        DataError: it is damaged.
    """
    from geoloc.inference.answer_lines import AnswerLines, header_text

    form = asked_format(args)
    if form == "jsonl" and args.out is not None:
        lines = AnswerLines(args.out, query, resume=args.resume)
        try:
            yield Lines(exif=args.exif, file=lines)
        finally:
            lines.close()
    elif form == "jsonl":
        print(header_text(query), end="", flush=True)
        yield Lines(exif=args.exif, file=None)
    elif form == "text" and args.out is None:
        yield PrintedText(truths=truths)
    else:
        document = Document(form=form, out=args.out, exif=args.exif, truths=truths)
        yield document
        document.write()


def _text(several: list[AskedImage], truths: Truths) -> str:
    from geoloc.inference import to_text

    known = {
        each.result.source: truth
        for each in several
        if (truth := truth_of(each.result.source, truths)) is not None
    }
    return to_text([each.result for each in several], known, _cameras(several))


def _cameras(several: list[AskedImage]) -> dict[str, CameraPlace]:
    return {each.result.source: each.camera for each in several if each.camera is not None}
