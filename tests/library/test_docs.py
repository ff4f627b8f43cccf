"""The code in the documentation is code that runs: the example that the other tests here serve."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "your-own-model.md").read_text(), re.DOTALL | re.MULTILINE
)
EXAMPLE = [path.read_text() for path in sorted((ROOT / "examples" / "harbour").glob("*.py"))]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[0][:40])
def test_each_block_is_a_part_of_the_example(block: str) -> None:
    assert any(block.strip() in text for text in EXAMPLE), "change the example, too"


def test_the_example_is_as_short_as_the_page_says() -> None:
    """A model with a filter, orders, a stream, three mutations, a message and somebody else's sign-in."""
    lines = sum(len(text.splitlines()) for text in EXAMPLE)
    assert lines <= 160, lines
    assert len(EXAMPLE) <= 6
