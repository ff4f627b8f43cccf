"""Mails from templates: ``NAME.txt`` (its first line is the subject) and ``NAME.html`` beside it."""

from dataclasses import dataclass

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    text: str
    html: str


class Templates:
    """The mail templates of one package; ``layout.html`` is shared by all."""

    def __init__(self, package: str) -> None:
        loaders = [PackageLoader(package), PackageLoader("gql_app.deliveries")]
        self._environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            auto_reload=False,  # a look at each file for every mail
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, name: str, /, **values: object) -> Mail:
        """Render a mail; raises `jinja2.UndefinedError` for a value that the template misses."""
        first, _, text = self._environment.get_template(f"{name}.txt").render(values).partition("\n")
        subject = " ".join(first.split())  # a line break in a header would start another header
        html = self._environment.get_template(f"{name}.html").render(values, subject=subject)
        return Mail(subject, text.strip() + "\n", html)
