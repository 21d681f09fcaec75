"""The documents of the table, kept as the bytes of their JSON, and compressed when they have not changed for a while.

    put, remove ─▶ a loose block: the documents of 16 ids ──the least recently changed──▶ a packed block
                                     ▲────────────────────── the next change ──────────────────┘

Neighbors name the same fields, cameras, users and hosts, so that a packed document takes a third of the memory. The
garbage collector does not traverse bytes. See "Pack documents in blocks" in docs/internals/tricks.md.
"""

import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

Document = dict[str, Any]

_BLOCK_BITS = 4
_BLOCK = 1 << _BLOCK_BITS
_LOOSE_BLOCKS = 64  # If more cameras have a backlog, each in another block, every change packs a block.
_FASTEST = 1  # of zlib's levels
_ID_BYTES = _BLOCK // 8
_ALL_IDS = (1 << _BLOCK) - 1

_Block = dict[int, bytes]
"""Some documents by id, as JSON."""


class Documents(MutableMapping[str, Document]):
    """Documents by id, in ascending order. It returns copies: changing one does not change the stored document."""

    __slots__ = ("_count", "_last_read", "_loose", "_packed")

    def __init__(self, documents: Mapping[str, Document] | None = None) -> None:
        self._loose: dict[int, _Block] = {}  # by the block's index, the last changed at the end
        self._packed: dict[int, bytes] = {}  # by the block's index
        self._last_read: tuple[int | None, _Block] = (None, {})  # index and content of a packed block
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
        return [number for index in self._indexes() for number in self._ids(index)]

    def greatest_id(self) -> int:
        """Return the greatest id, 0 if there is no document."""
        return next((ids[-1] for index in reversed(self._indexes()) if (ids := self._ids(index))), 0)

    def encoded(self, key: str) -> bytes | None:
        """Return the JSON of a document; None if there is none."""
        return self._block(int(key) >> _BLOCK_BITS).get(int(key))

    def all_encoded(self) -> Iterator[tuple[int, bytes]]:
        """Yield the id and the JSON of every document."""
        for index in self._indexes():
            yield from sorted(self._block(index).items())

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

    def _indexes(self) -> list[int]:
        """Return the indexes of all blocks, in ascending order."""
        return sorted(self._loose.keys() | self._packed.keys())

    def _ids(self, index: int) -> list[int]:
        """Return the ids in a block, in ascending order."""
        packed = self._packed.get(index)
        return sorted(self._loose[index]) if packed is None else _ids_in(packed, index)

    def _block(self, index: int) -> Mapping[int, bytes]:
        """Return the documents of a block, to be read only."""
        loose = self._loose.get(index)
        if loose is not None:
            return loose
        if index != self._last_read[0]:
            if index not in self._packed:
                return {}
            self._last_read = (index, _unpacked(self._packed[index], index))
        return self._last_read[1]

    def _loosen(self, index: int) -> _Block:
        """Return the documents of a block, to be changed."""
        block = self._loose.pop(index, None)
        if block is None:
            block = _unpacked(self._packed.pop(index), index) if index in self._packed else {}
            self._last_read = (None, {})
        self._loose[index] = block
        if len(self._loose) > _LOOSE_BLOCKS:
            self._pack(next(iter(self._loose)))
        return block

    def _pack(self, index: int) -> None:
        block = self._loose.pop(index)
        if block:
            self._packed[index] = _packed(block)


def encode_document(document: Document) -> bytes:
    return msgspec.json.encode(document)


def _packed(block: _Block) -> bytes:
    """Return a bit for each id that has a document, and the documents in ascending order, compressed.

    Each takes one line: JSON has no line end within a text (RFC 8259, section 7), and the queue writes none elsewhere.
    """
    ids = sum(1 << number % _BLOCK for number in block)
    lines = b"\n".join(block[number] for number in sorted(block))
    return ids.to_bytes(_ID_BYTES, "big") + zlib.compress(lines, _FASTEST)


def _ids_in(packed: bytes, index: int) -> list[int]:
    """Return the ids in a packed block, in ascending order."""
    ids, first = int.from_bytes(packed[:_ID_BYTES], "big"), index << _BLOCK_BITS
    if ids == _ALL_IDS:  # nearly always, and three times as fast
        return list(range(first, first + _BLOCK))
    return [first + bit for bit in range(_BLOCK) if ids >> bit & 1]


def _unpacked(packed: bytes, index: int) -> _Block:
    return dict(zip(_ids_in(packed, index), zlib.decompress(packed[_ID_BYTES:]).split(b"\n"), strict=True))
