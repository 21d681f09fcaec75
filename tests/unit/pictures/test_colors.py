from hypothesis import given
from hypothesis import strategies as st

from camiohookd.pictures.colors import color_of


@given(st.text(max_size=50))
def test_a_color_is_bright_enough_for_black_letters(label: str) -> None:
    red, green, blue = color_of(label)
    assert max(red, green, blue) <= 255
    assert 0.2126 * red + 0.7152 * green + 0.0722 * blue > 110
