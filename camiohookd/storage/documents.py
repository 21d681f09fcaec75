"""The documents of the table, kept as the bytes of their JSON, and compressed when they have not changed for a while.

    put, remove ─▶ a loose block: the documents of 16 ids ──the least recently changed──▶ a packed block
                                     ▲────────────────────── the next change ──────────────────┘

Neighbors name the same fields, cameras, users and hosts, so that a packed document takes a fifth of the memory. Nothing
is left for the garbage collector to traverse. See "Pack documents in blocks" in docs/internals/tricks.md.
"""

import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

Document = dict[str, Any]

_BLOCK_BITS = 4
_BLOCK = 1 << _BLOCK_BITS
_LOOSE_BLOCKS = 64  # as many cameras can have a backlog, each in another place, before blocks are packed in vain
_FASTEST = 1  # of zlib's levels
_ID_BYTES = _BLOCK // 8
_ALL_IDS = (1 << _BLOCK) - 1

_Block = dict[int, bytes]
"""Some documents by id, as JSON."""


class Documents(MutableMapping[str, Document]):
    """Documents by id, in ascending order. It returns copies: changing one does not change the stored document."""

    __slots__ = ("_count", "_loose", "_packed", "_unpacked")

    def __init__(self, documents: Mapping[str, Document] | None = None) -> None:
        self._loose: dict[int, _Block] = {}  # by number, the last changed at the end
        self._packed: dict[int, bytes] = {}
        self._unpacked: tuple[int | None, _Block] = (None, {})  # the packed block that was read last
        self._count = 0
        for key, document in (documents or {}).items():
            self[key] = document

    def __getitem__(self, key: str) -> Document:
        document: Document = msgspec.json.decode(self._block(int(key) >> _BLOCK_BITS)[int(key)])
        return document

    def __setitem__(self, key: str, document: Document) -> None:
        self.put(int(key), document)

    def __delitem__(self, key: str) -> None:
        self.remove(int(key))

    def put(self, number: int, document: Document) -> None:
        """Store the document with the id `number`."""
        self._store(number, encode_document(document))

    def remove(self, number: int) -> None:
        """Remove the document with the id `number`. Raises KeyError."""
        block = self._loosen(number >> _BLOCK_BITS)
        del block[number]
        self._count -= 1

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and int(key) in self._block(int(key) >> _BLOCK_BITS)

    def __iter__(self) -> Iterator[str]:
        return map(str, self.ascending_ids())

    def __len__(self) -> int:
        return self._count

    def ascending_ids(self) -> list[int]:
        return [number for block in self._numbers() for number in self._ids(block)]

    def greatest_id(self) -> int:
        """Return the greatest id, 0 if there is no document."""
        return next((ids[-1] for block in reversed(self._numbers()) if (ids := self._ids(block))), 0)

    def encoded(self, key: str) -> bytes | None:
        """Return the JSON of a document; None if there is none."""
        return self._block(int(key) >> _BLOCK_BITS).get(int(key))

    def all_encoded(self) -> Iterator[tuple[int, bytes]]:
        """Yield the id and the JSON of every document."""
        for block in self._numbers():
            yield from sorted(self._block(block).items())

    def set_encoded(self, key: str, document: bytes) -> None:
        """Store a document that is JSON already, on one line."""
        self._store(int(key), document)

    def __repr__(self) -> str:
        return f"Documents({dict(self)!r})"

    # Blocks

    def _store(self, number: int, document: bytes) -> None:
        block = self._loosen(number >> _BLOCK_BITS)
        self._count += number not in block
        block[number] = document

    def _numbers(self) -> list[int]:
        return sorted(self._loose.keys() | self._packed.keys())

    def _ids(self, block: int) -> list[int]:
        """Return the ids in a block in ascending order."""
        packed = self._packed.get(block)
        return sorted(self._loose[block]) if packed is None else _ids(block, packed)

    def _block(self, block: int) -> Mapping[int, bytes]:
        """Return the documents of a block, to be read only."""
        loose = self._loose.get(block)
        if loose is not None:
            return loose
        if block != self._unpacked[0]:
            if block not in self._packed:
                return {}
            self._unpacked = (block, _unpack(block, self._packed[block]))
        return self._unpacked[1]

    def _loosen(self, block: int) -> _Block:
        """Return the documents of a block, to be changed."""
        documents = self._loose.pop(block, None)
        if documents is None:
            documents = _unpack(block, self._packed.pop(block)) if block in self._packed else {}
            self._unpacked = (None, {})
        self._loose[block] = documents
        if len(self._loose) > _LOOSE_BLOCKS:
            self._pack(next(iter(self._loose)))
        return documents

    def _pack(self, block: int) -> None:
        documents = self._loose.pop(block)
        if documents:
            self._packed[block] = _pack(documents)


def encode_document(document: Document) -> bytes:
    return msgspec.json.encode(document)


def _pack(documents: _Block) -> bytes:
    """Return a bit for each id that has a document, and the documents in ascending order, compressed.

    Each takes one line: JSON has no line end within a text (RFC 8259, section 7), and the queue writes none elsewhere.
    """
    ids = sum(1 << number % _BLOCK for number in documents)
    lines = b"\n".join(documents[number] for number in sorted(documents))
    return ids.to_bytes(_ID_BYTES, "big") + zlib.compress(lines, _FASTEST)


def _ids(block: int, packed: bytes) -> list[int]:
    """Return the ids in a packed block, in ascending order."""
    ids, first = int.from_bytes(packed[:_ID_BYTES], "big"), block << _BLOCK_BITS
    if ids == _ALL_IDS:  # nearly always, and three times as fast
        return list(range(first, first + _BLOCK))
    return [first + bit for bit in range(_BLOCK) if ids >> bit & 1]


def _unpack(block: int, packed: bytes) -> _Block:
    return dict(zip(_ids(block, packed), zlib.decompress(packed[_ID_BYTES:]).split(b"\n"), strict=True))
