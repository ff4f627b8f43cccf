"""The texts of SMS in the GSM 7-bit alphabet."""

import pytest

from gql_app.deliveries.gsm7 import BASIC, EXTENDED, fits, to_gsm7


def test_the_alphabet_has_the_size_of_the_standard() -> None:
    """3GPP TS 23.038: 128 places, one of which is the escape; ten characters behind it."""
    assert len(BASIC) == 127
    assert len(EXTENDED) == 10
    assert not BASIC & EXTENDED


@pytest.mark.parametrize(
    "text", ["", "plain", "äöüÄÖÜß", "[x] {y} ~ ^ | \\ €", "£1 ¥2 ¿qué? ¡sí!", "two\r\nlines", "ΔΦΓ"]
)
def test_what_is_in_the_alphabet_fits_and_is_left_alone(text: str) -> None:
    assert fits(text.replace("í", "i"))
    assert to_gsm7(text.replace("í", "i")) == text.replace("í", "i")


@pytest.mark.parametrize("text", ["’", "–", "…", "ê", "ç", "Ж", "你", "😀", "\t", "`", "\u00a0"])
def test_what_is_not_in_the_alphabet_does_not_fit(text: str) -> None:
    assert not fits(text)
    assert not fits(f"one {text} is enough")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("it’s ‘fine’", "it's 'fine'"),
        ("“so” „so“", '"so" "so"'),
        ("1–2—3", "1-2-3"),
        ("wait…", "wait..."),
        ("10\u00a0litres", "10 litres"),
        ("Citroën, français, Ångström, São", "Citroen, francais, Ångström, Sao"),
        ("e\u0302tre", "etre"),
        ("Mu\u0308ller", "Müller"),
    ],
)
def test_typography_and_foreign_accents_become_plain(text: str, plain: str) -> None:
    assert to_gsm7(text) == plain
    assert fits(plain)


@pytest.mark.parametrize("text", ["Привет", "你好", "😀", "ł", "שלום"])
def test_other_scripts_are_left_readable(text: str) -> None:
    """They cost more parts, but a question mark in their place would say nothing."""
    assert to_gsm7(text) == text


@pytest.mark.parametrize("text", ["it’s", "“Ж” – 你…", "plain", "ênç", "Mu\u0308ller"])
def test_what_is_plain_already_stays_as_it_is(text: str) -> None:
    assert to_gsm7(to_gsm7(text)) == to_gsm7(text)
