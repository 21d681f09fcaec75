"""Lines in memory, as `read_lines` yields those of a file."""

from collections.abc import Iterator


def lines_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of `data`, each with its offset and its end."""
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset) + 1 or len(data)
        yield offset, data[offset:end]
        offset = end
