"""Texts that people type in."""

from gql_app.errors import Invalid


def clean_text(text: str | None, *, field: str, longest: int, shortest: int = 0) -> str | None:
    """The text without white space around it; None for an empty one.

    Raises:
        Invalid: longer than ``longest`` characters, shorter than ``shortest``, or with a NUL or half a surrogate pair,
            which databases cannot store.
    """
    stripped = (text or "").strip()
    if "\0" in stripped or any("\ud800" <= char <= "\udfff" for char in stripped):
        raise Invalid("The text holds characters that cannot be stored (NUL, or half of a pair).", field=field)
    if not shortest <= len(stripped) <= longest:
        raise Invalid(f"Write {shortest} to {longest} characters.", field=field)
    return stripped or None
