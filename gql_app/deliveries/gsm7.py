"""Keeping SMS in the GSM 7-bit alphabet (3GPP TS 23.038): 160 characters in a part instead of 70."""

import unicodedata

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("^{}\\[~]|€\f")
_PLAIN = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "–": "-",
        "—": "-",
        "…": "...",
        "\u00a0": " ",
        "•": "-",
    }
)


def fits(text: str) -> bool:
    """Whether the text needs nothing outside the GSM 7-bit alphabet and its extension."""
    return all(char in BASIC or char in EXTENDED for char in text)


def to_gsm7(text: str) -> str:
    """The text with typographic characters and foreign accents made plain; other scripts are left as they are."""
    text = unicodedata.normalize("NFC", text).translate(_PLAIN)
    return "".join(char if char in BASIC or char in EXTENDED else _without_accent(char) for char in text)


def _without_accent(char: str) -> str:
    base = unicodedata.normalize("NFD", char)[0]
    return base if base in BASIC else char
