"""GraphQL's own errors without the values that clients sent: these may be passwords.

Must hold: a sentence is told as it is only if its form is known here. Of all others what may be a value is cut away.
Names stay: of types, fields, variables, and what looks like the name of an enum's value.
"""

import re

_VARIABLE = re.compile(r"(Variable '\$\w+' has invalid value(?: at [\w.\[\]]+)?: )(.*)", re.DOTALL)
_KNOWN: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern, re.DOTALL), told)
    for pattern, told in (
        (r"(Expected (?:a )?value of non-null type '[^']+' (?:to be provided|not to be None)).*", r"\1."),
        (r"(Expected value of type '[^']+' to be an object).*", r"\1."),
        (r"(Expected value of type '[^']+' to include required field '\w+').*", r"\1."),
        (r"(Expected value of type '[^']+' not to include unknown field '[A-Za-z_]\w{0,63}').*", r"\1."),
        (r"(Expected value of type '[^']+' not to include unknown field).*", r"\1s."),
        (r"(Expected value of type '[^']+').*", r"\1."),
        (r"(Value '[A-Z][A-Z0-9_]{0,63}' does not exist in '\w+' enum).*", r"\1."),
        (r"Value .* does not exist in '(\w+)' enum\..*", r"That value does not exist in '\1' enum."),
        (r"((?:\w+|Enum '\w+') cannot represent (?:an? )?[a-z0-9 -]*value)\b.*", r"\1."),
        (r"(Syntax Error: .*?\b(?:String|BlockString|Int|Float)) '.*'\.?", r"\1."),
        (r"(Syntax Error: Unterminated string\.)", r"\1"),
        (r"(Syntax Error: Invalid (?:Unicode |character )?escape sequence)\b.*", r"\1."),
        (r"(Syntax Error: Invalid number, [^.]*?)(?:, did you mean .*)", r"\1."),
        (r"(Syntax Error: (?:Expected|Unexpected) [^\"]*)", r"\1"),
    )
]
_CUT = re.compile(r"(?::\s|\bfound\s|\bgot\s|,\sbut\sencountered\s).*", re.DOTALL)


def without_values(message: str) -> str:
    """The sentence, with all that it needs to be mended by."""
    if (found := _VARIABLE.fullmatch(message)) is not None:
        return found[1] + without_values(found[2])
    for pattern, told in _KNOWN:
        if (known := pattern.fullmatch(message)) is not None:
            return known.expand(told)
    return _CUT.sub(".", message)
