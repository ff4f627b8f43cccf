"""The texts of an application: what a rule says is frozen in its transaction, and rendered when it is sent or shown.

Must hold: nothing that a message says is looked up when it is rendered. It was so at the change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gql_app.deliveries.models import Channel, Delivery
from gql_app.deliveries.templates import Rendered, Templates
from gql_app.deliveries.values import freeze, thaw

TEXTS = "gql_app_texts"
"""Where the info of a session has the texts of its application."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What a message says: the name of a template, and the values for it."""

    templates: Templates
    name: str
    values: Mapping[str, object]


class Unrenderable(Exception):
    """A message cannot be rendered: its template is not there any more, or wants what was not frozen."""


class Texts:
    """The templates of an application, by the names of the verticals that bring them."""

    def __init__(self, templates: Mapping[str, Templates] | None = None) -> None:
        self._by_name = dict(templates or {})
        self._names = {each: name for name, each in self._by_name.items()}

    def freeze(self, channel: Channel, wording: Wording) -> tuple[str, str]:
        """The template's name in the queue, and the values as they are kept there.

        Raises:
            LookupError: there is no such template.
            TypeError: it takes other values; one cannot be kept; or no vertical of the application brings it.
        """
        templates, name = wording.templates, wording.name
        if templates not in self._names:
            raise TypeError(
                f"the templates of {templates.package} are of no vertical of this application: bring them with "
                "Vertical(…, templates=…)"
            )
        if missing := sorted(templates.needed(channel, name) - wording.values.keys()):
            raise TypeError(f"the template {name} of {templates.package} takes the value {missing[0]}: give it")
        return f"{self._names[templates]}/{name}", freeze(wording.values)

    def render(self, row: Any) -> Rendered:
        """What a row of `Delivery` says.

        Raises:
            Unrenderable: its template is not there any more, or fails.
        """
        if row.template is None:
            return Rendered(row.subject, row.body or "", row.html)
        vertical, _, name = row.template.partition("/")
        try:
            return self._by_name[vertical].render(row.channel, name, thaw(row.template_values or "{}"), row.language)
        except Exception as error:  # a template is code of its author
            raise Unrenderable(f"the template {row.template} cannot be rendered: {error}") from error

    def shown(self, row: Delivery | Any) -> Rendered:
        """The same where people look: one that cannot be rendered says so."""
        try:
            return self.render(row)
        except Unrenderable as error:
            return Rendered(None, f"({error})", None)
