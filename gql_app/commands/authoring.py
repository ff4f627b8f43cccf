"""`makemigration` and `new-model`: what authors of verticals would otherwise write by hand."""

import argparse
import asyncio
import keyword
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gql_app.application import Application, named
from gql_app.db import Database
from gql_app.deliveries.graphql import DELIVERIES
from gql_app.errors import ConfigurationError, Invalid
from gql_app.migrations import Branch
from gql_app.migrations.generate import generate
from gql_app.settings import chosen_app
from gql_app.vertical import Vertical
from gql_app.visibility.graphql import VISIBILITY

FILES = ("__init__.py", "models.py", "graphql.py", "tests/__init__.py", "tests/test_{plural}.py")


def add_to(commands: Any) -> None:
    parser = commands.add_parser("makemigration", help="write the migration that a vertical's models need")
    parser.add_argument("vertical", help="its name")
    parser.add_argument("-m", "--message", default="changes", help="what it is about; part of the file's name")
    parser.set_defaults(run=run_makemigration)
    parser = commands.add_parser("new-model", help="write a vertical for a model, with its migration and tests")
    parser.add_argument("name", help="of the model, as Boat")
    parser.add_argument("--plural", help="the name of the package and of the list (default: with an s, es or ies)")
    parser.set_defaults(run=run_new_model)


def run_makemigration(args: argparse.Namespace) -> int:
    written = asyncio.run(_make(named(chosen_app()), args.vertical, args.message))
    print(f"Wrote {_short(written)}." if written else "The migrations make what the models say: nothing to be done.")
    return 0


async def _make(application: Application, name: str, message: str) -> Path | None:
    known = {each.name: each for each in application.verticals if each.migrations is not None}
    if name not in known:
        raise ConfigurationError(f"No vertical {name!r} has migrations=…; these have: {', '.join(known) or 'none'}.")
    vertical: Vertical = known[name]
    assert vertical.migrations is not None
    vertical.migrations.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        empty = Database(f"sqlite+aiosqlite:///{directory}/empty.db")
        try:
            branches: Sequence[Branch] = application.branches
            branch = next(each for each in branches if each.name == name)
            return await generate(empty, branches, branch, application.tables(vertical), message)
        finally:
            await empty.close()


def run_new_model(args: argparse.Namespace) -> int:
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]{0,39}", args.name):
        raise Invalid("The name of a model is a word like Boat or FuelRequest, of at most 40 characters.")
    word = re.sub(r"(?<!^)(?=[A-Z])", "_", args.name).lower()
    if keyword.iskeyword(word) or args.name in _taken():
        raise Invalid(f"{args.name} is a word of Python's, or the name of a type that the service has: choose another.")
    plural = args.plural or _plural(word)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", plural) or plural == word:
        raise Invalid("The plural is a word like boats, other than the model's own.")
    package = Path.cwd() / plural
    if package.exists():
        raise ConfigurationError(f"{_short(package)} is there already: choose another --plural, or move it away.")
    values = {"name": args.name, "word": word, "plural": plural, "spoken": word.replace("_", " ")}
    values |= {"listed": plural.replace("_", " "), "camel": _camel(word), "camels": _camel(plural)}
    templates = Environment(
        loader=PackageLoader("gql_app.commands"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (it is Python, and no page)
        variable_start_string="<<",
        variable_end_string=">>",
    )
    for file in FILES:
        path = package / file.format(plural=plural)
        path.parent.mkdir(parents=True, exist_ok=True)
        template = Path(file).name.format(plural="boats") if file != "tests/__init__.py" else "empty"
        path.write_text(templates.get_template(f"{template}.jinja").render(values), encoding="utf-8")
    written = asyncio.run(_make(named(f"{plural}:ALL"), plural, f"the {values['listed']}"))
    print(f"Wrote {_short(package)}/ with {_short(written) if written else 'no migration'}. Next:")
    print(f"  gql-app --app {plural}:ALL serve      and  gql-app --app {plural}:ALL user add …")
    print(f"  pytest {plural}      (with pytest, and gql_app installed with its extra `testing`)")
    return 0


def _taken() -> set[str]:
    """The names of the types that a new application begins with."""
    from gql_app.accounts import ACCOUNTS  # noqa: PLC0415  (who writes no model does not need it)
    from gql_app.audit import AUDIT  # noqa: PLC0415

    begins_with = Application((ACCOUNTS, AUDIT, DELIVERIES, VISIBILITY))
    return {*begins_with.schema._schema.type_map, *(each.__name__ for each in begins_with.models)}


def _plural(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|z|ch|sh)$", word) else "s")


def _camel(word: str) -> str:
    first, *rest = word.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
