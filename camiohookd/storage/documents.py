"""The documents of the table, kept as the bytes of their JSON.

A hundred thousand of them take a quarter of the memory of dictionaries, leave nothing for the garbage collector to
traverse, and are written to a snapshot unchanged.
"""

from collections.abc import ItemsView, Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

Document = dict[str, Any]


class Documents(MutableMapping[str, Document]):
    """Documents by id. It returns copies: changing one does not change the stored document."""

    __slots__ = ("_encoded",)

    def __init__(self, documents: Mapping[str, Document] | None = None) -> None:
        # The key is a number, which takes half the memory of its text.
        self._encoded = {int(key): encode_document(document) for key, document in (documents or {}).items()}

    def __getitem__(self, key: str) -> Document:
        document: Document = msgspec.json.decode(self._encoded[int(key)])
        return document

    def __setitem__(self, key: str, document: Document) -> None:
        self._encoded[int(key)] = encode_document(document)

    def __delitem__(self, key: str) -> None:
        del self._encoded[int(key)]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and int(key) in self._encoded

    def __iter__(self) -> Iterator[str]:
        return map(str, self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)

    def ascending_ids(self) -> list[int]:
        return sorted(self._encoded)

    def greatest_id(self) -> int:
        """Return the greatest id, 0 if there is no document."""
        return max(self._encoded, default=0)

    def encoded(self, key: str) -> bytes | None:
        """Return the JSON of a document; None if there is none."""
        return self._encoded.get(int(key))

    def all_encoded(self) -> ItemsView[int, bytes]:
        """Return the id and the JSON of every document."""
        return self._encoded.items()

    def set_encoded(self, key: str, document: bytes) -> None:
        """Store a document that is JSON already."""
        self._encoded[int(key)] = document

    def __repr__(self) -> str:
        return f"Documents({dict(self)!r})"


def encode_document(document: Document) -> bytes:
    return msgspec.json.encode(document)
