"""Convert older documents to today's form as they are read.

Version 0.1.0 stored the whole reply in ``reply``; today that is the place of the reply's record in a segment.
"""

from collections.abc import Callable

import msgspec

from camiohookd.storage.documents import Document, encode_document

KeepReply = Callable[[str, Document], list[int]]
"""Stores the reply of a document (its id, the document) in a segment; returns its place. Raises OSError."""


def no_replies(key: str, document: Document) -> list[int]:  # noqa: ARG001  # it is a `KeepReply`
    """Refuse a reply in a document, where none can be."""
    raise ValueError(f"document {key} has a reply in the form of version 0.1.0, and there is no segment for it")


_INLINE = b'"reply":{'
"""A quote within a text is escaped in JSON, so that only a field can look like this."""


class BringUp:
    """Moves replies from documents to records as they are read; `count` is their number."""

    def __init__(self, keep_reply: KeepReply) -> None:
        self._keep_reply = keep_reply
        self.count = 0

    def encoded(self, key: str, document: bytes) -> bytes:
        """Return the JSON of a document in today's form. Raises OSError."""
        if _INLINE not in document:
            return document
        return encode_document(self.document(key, msgspec.json.decode(document)))

    def document(self, key: str, document: Document) -> Document:
        """Return a document in today's form; it is changed in place. Raises OSError."""
        if isinstance(document.get("reply"), dict):
            document["reply"] = self._keep_reply(key, document)
            self.count += 1
        return document
