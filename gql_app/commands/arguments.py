"""Types of arguments that argparse has not."""

import argparse
from collections.abc import Callable


def number(low: int, high: int) -> Callable[[str], int]:
    """A whole number in these bounds; argparse names the argument when it is none."""

    def parse(text: str) -> int:
        if len(text) <= 12:
            try:
                if low <= (value := int(text)) <= high:
                    return value
            except ValueError:
                pass
        raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")

    return parse
