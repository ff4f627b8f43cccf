"""Texts from templates: files in the folder `templates` of a vertical's package.

NAME.txt, NAME.html   a mail; the first line of NAME.txt is its subject
NAME.sms.txt          an SMS; another channel has its own name in place of `sms`
de/NAME.txt …         the same for those whose language is German
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    meta,
    select_autoescape,
)

from gql_app.deliveries.gsm7 import to_gsm7
from gql_app.deliveries.models import Channel

GIVEN = frozenset({"subject", "language"})
"""What the HTML of a mail has besides its values."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as it is sent and shown."""

    subject: str | None
    body: str
    html: str | None


class Templates:
    """The templates of one package; ``layout.html`` is shared by all."""

    def __init__(self, package: str) -> None:
        self.package = package
        loaders = [PackageLoader(package), PackageLoader("gql_app.deliveries")]
        self._environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            auto_reload=False,  # a look at each file for every mail
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._needed: dict[tuple[Channel, str], frozenset[str]] = {}
        self._chosen: dict[tuple[Channel, str, str | None], tuple[Template, Template | None]] = {}

    def needed(self, channel: Channel, name: str) -> frozenset[str]:
        """The names of the values that a message takes, in whatever language.

        Raises:
            LookupError: there is no such template.
        """
        found = self._needed.get((channel, name))
        if found is None:
            of_mail = channel is Channel.EMAIL
            files = [each.name or "" for each in self._choose(channel, name, None) if each is not None]
            alike = [each for each in self._environment.list_templates() if each.partition("/")[2] in files]
            names = frozenset(value for each in (*files, *alike) for value in self._undeclared(each))
            found = self._needed[channel, name] = names - GIVEN if of_mail else names
        return found

    def render(self, channel: Channel, name: str, values: dict[str, Any], language: str | None = None) -> Rendered:
        """The message, in this language if there is a template in it; ``de`` does for ``de-AT``.

        Raises:
            jinja2.TemplateError: it misses a value, or is no template.
            LookupError: there is no such template.
        """
        of_text, of_html = self._choose(channel, name, language)
        text = of_text.render(values).replace("\0", "")
        if of_html is None:
            return Rendered(None, to_gsm7(text.strip()) if channel is Channel.SMS else text.strip(), None)
        first, _, text = text.partition("\n")
        spoken = (of_text.name or "").rpartition("/")[0] or "en"
        subject = " ".join(first.split())  # a line break in a header would start another header
        return Rendered(subject, text.strip() + "\n", of_html.render(values, subject=subject, language=spoken))

    def _choose(self, channel: Channel, name: str, language: str | None) -> tuple[Template, Template | None]:
        chosen = self._chosen.get((channel, name, language))
        if chosen is None:
            chosen = self._look_for(channel, name, language)
            if language is None or len(self._chosen) < 1_000:  # what people say is their language has no end
                self._chosen[channel, name, language] = chosen
        return chosen

    def _look_for(self, channel: Channel, name: str, language: str | None) -> tuple[Template, Template | None]:
        is_mail = channel is Channel.EMAIL
        files = (f"{name}.txt", f"{name}.html") if is_mail else (f"{name}.{channel.name.lower()}.txt",)
        for folder in self._folders(language):
            try:
                found = [self._environment.get_template(folder + each) for each in files]
            except TemplateNotFound as error:  # an OSError, which elsewhere means that the database is away
                missing = error.name
                continue
            return found[0], found[1] if is_mail else None
        raise LookupError(
            f"There is no template {missing}: it belongs into the folder `templates` of {self.package}."
        ) from None

    @cached_property
    def _languages(self) -> Mapping[str, str]:
        """The folders by their names in small letters: tags know no others (RFC 5646, section 2.1.1)."""
        folders = (name.rpartition("/")[0] for name in self._environment.list_templates())
        return {folder.lower(): f"{folder}/" for folder in folders if folder}

    def _folders(self, language: str | None) -> Iterator[str]:
        """That of the language, then those of the languages that it is a part of, then that of all others."""
        tag = (language or "").replace("_", "-").lower()
        while tag:
            if tag in self._languages:
                yield self._languages[tag]
            tag = tag.rpartition("-")[0]
        yield ""

    def _undeclared(self, file: str) -> Iterator[str]:
        """The values that a template takes, with those of templates that it extends or includes."""
        loader: Any = self._environment.loader
        parsed = self._environment.parse(loader.get_source(self._environment, file)[0])
        yield from meta.find_undeclared_variables(parsed)
        for other in meta.find_referenced_templates(parsed):
            if other is not None:
                yield from self._undeclared(other)
