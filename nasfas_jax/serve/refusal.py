"""Refused requests."""

from collections.abc import Mapping


class Refusal(Exception):
    """A request that is refused, with its HTTP status and one sentence.

    Attributes:
      status: HTTP status.
      headers: headers of the answer.
    """

    def __init__(
        self, status: int, text: str, headers: Mapping[str, str] | None = None
    ):
        super().__init__(text)
        self.status = status
        self.headers = dict(headers or {})
