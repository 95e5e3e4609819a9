"""Uploads: one file of a multipart form, bounded in bytes and time.

The name that the client gives is only ever shown; the file is stored under a random name.
"""

import asyncio
import contextlib
import pathlib
import tempfile
from collections.abc import AsyncIterator, Awaitable
from typing import IO, NamedTuple

from python_multipart import multipart
from python_multipart.exceptions import FormParserError
from starlette.requests import ClientDisconnect, Request

from nasfas_jax.serve.bounds import Bounds
from nasfas_jax.serve.refusal import Refusal

#: Field of the form that has the file.
FIELD = "file"
LONGEST_NAME = 120
#: HTTP status of an upload that takes too long.
TIMEOUT = 408


class Upload(NamedTuple):
    """A received file.

    Attributes:
      path: the stored file.
      name: the client's name for it, to be shown.
    """

    path: pathlib.Path
    name: str


@contextlib.asynccontextmanager
async def received(
    request: Request, folder: pathlib.Path, bounds: Bounds
) -> AsyncIterator[Upload]:
    """Yields the file of a form; it is deleted at the end of the block.

    Raises:
      Refusal: no multipart form, none or several files in it, no bytes, too many bytes,
        or an upload that takes too long.
    """
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        boundary = _boundary(request)
        try:
            form = _Form(boundary, file.file)
            await _within(_write(request, form, bounds), bounds)
        except FormParserError as error:
            raise Refusal(400, f"the multipart form is malformed: {error}.") from None
        file.flush()
        yield Upload(pathlib.Path(file.name), form.checked_name())


async def discard(request: Request, bounds: Bounds) -> None:
    """Reads the rest of a refused body, which lets the client read the answer.

    A server that closes a connection with unread bytes resets it, and the client may see
    an error in the place of the answer.
    """
    with contextlib.suppress(Refusal, RuntimeError):
        await _within(_read(request), bounds)


async def _read(request: Request) -> None:
    async for _ in request.stream():
        pass


async def _within(work: Awaitable[None], bounds: Bounds) -> None:
    try:
        async with asyncio.timeout(bounds.upload_seconds):
            await work
    except TimeoutError:
        raise Refusal(
            TIMEOUT, f"the upload took more than {bounds.upload_seconds:g} s."
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "the upload ended early.") from None


def _boundary(request: Request) -> bytes:
    kind, options = multipart.parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refusal(
            415,
            f"expected multipart/form-data with a file in the field {FIELD!r}, got"
            f" {kind.decode('latin-1')[:80] or 'no content type'!r}.",
        )
    return options[b"boundary"]


async def _write(request: Request, form: "_Form", bounds: Bounds) -> None:
    announced = request.headers.get("content-length", "0")
    total = int(announced) if announced.isdecimal() else 0
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if max(total, received) > bounds.upload_bytes:
            raise Refusal(
                413,
                f"expected at most {bounds.upload_bytes:,} bytes, got"
                f" {max(total, received):,}.",
            )
        form.feed(chunk)
    form.end()


class _Form:
    """Parser of a form that writes the field `FIELD` to a file."""

    def __init__(self, boundary: bytes, file: IO[bytes]):
        self.file, self.files, self.name, self.complete = file, 0, "", False
        self.bytes = 0
        self.key = self.value = self.disposition = b""
        self.wanted = False
        callbacks: multipart.MultipartCallbacks = {
            "on_part_begin": self.part_begin,
            "on_header_field": self.header_field,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_part_data": self.part_data,
            "on_end": self.finished,
        }
        self.parser = multipart.MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> None:
        self.parser.write(chunk)

    def end(self) -> None:
        self.parser.finalize()

    def part_begin(self) -> None:
        self.key = self.value = self.disposition = b""
        self.wanted = False

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.key += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.key.lower() == b"content-disposition":
            self.disposition = self.value
        self.key = self.value = b""

    def headers_finished(self) -> None:
        _, options = multipart.parse_options_header(self.disposition)
        self.wanted = options.get(b"name") == FIELD.encode()
        if self.wanted:
            self.files += 1
            self.name = options.get(b"filename", b"").decode("utf-8", "replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self.wanted and self.files == 1:
            self.bytes += end - start
            self.file.write(data[start:end])

    def finished(self) -> None:
        self.complete = True

    def checked_name(self) -> str:
        """The client's name, after checks of the form.

        Raises:
          Refusal: the form has no end, none or several files, or an empty one.
        """
        if not self.complete:
            raise Refusal(400, "the multipart form is malformed: it has no end.")
        if self.files != 1:
            raise Refusal(
                400, f"expected one file in the field {FIELD!r}, got {self.files}."
            )
        if not self.bytes:
            raise Refusal(400, "the file is empty (0 bytes).")
        last = self.name.replace("\\", "/").rsplit("/", 1)[-1]
        shown = "".join(c for c in last if c.isprintable())[:LONGEST_NAME]
        return shown or "upload"
