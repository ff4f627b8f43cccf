"""Mails from templates: ``NAME.txt`` (its first line is the subject) and ``NAME.html`` beside it."""

from dataclasses import dataclass

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, TemplateNotFound, select_autoescape


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    text: str
    html: str


class Templates:
    """The mail templates of one package; ``layout.html`` is shared by all."""

    def __init__(self, package: str) -> None:
        self._package = package
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
        """Render a mail.

        Raises:
            jinja2.UndefinedError: for a value that the template misses.
            LookupError: there is no such template.
        """
        try:
            of_text, of_html = (self._environment.get_template(f"{name}.{kind}") for kind in ("txt", "html"))
        except TemplateNotFound as error:  # an OSError, which elsewhere means that the database is away
            raise LookupError(
                f"There is no template {error.name}: it belongs into the folder `templates` of {self._package}."
            ) from None
        first, _, text = of_text.render(values).partition("\n")
        subject = " ".join(first.split())  # a line break in a header would start another header
        html = of_html.render(values, subject=subject)
        return Mail(subject, text.strip() + "\n", html)
