"""A vertical's migrations: a folder of Alembic scripts, one after the other."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Final

from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

from gql_app.errors import ConfigurationError


@dataclass(frozen=True)
class Branch:
    """The migrations of one vertical. Revisions need to differ within a branch only."""

    name: str
    path: Path

    @cached_property
    def scripts(self) -> Sequence[Script]:
        """From the first to the last.

        Raises:
            ConfigurationError: there is no such folder, or two scripts follow the same one.
        """
        if not self.path.is_dir():
            raise ConfigurationError(f"The migrations of {self.name} should be in {self.path}, which is no folder.")
        directory = ScriptDirectory(str(self.path), version_locations=[str(self.path)])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Alembic only warns of two scripts with one revision, and takes one
                found = list(directory.walk_revisions())[::-1]
        except (CommandError, UserWarning) as error:
            raise ConfigurationError(f"The migrations of {self.name} cannot be read: {error}") from error
        for earlier, later in pairwise(found):
            if later.down_revision != earlier.revision:
                raise ConfigurationError(
                    f"The migrations of {self.name} are not in one row: {later.revision} follows "
                    f"{later.down_revision}, and so does {earlier.revision}. Let one follow the other."
                )
        return found

    @property
    def head(self) -> str | None:
        """The last revision; None where there is none."""
        return self.scripts[-1].revision if self.scripts else None


ENGINE: Final = Branch("engine", Path(__file__).parent / "engine")
"""Of the change log and of what is owed."""

_PACKAGE = Path(__file__).parent.parent
OURS: Final = {
    "accounts": _PACKAGE / "accounts" / "migrations",
    "fuel_requests": _PACKAGE / "demo" / "fuel_requests" / "migrations",
    "projects": _PACKAGE / "demo" / "projects" / "migrations",
}
"""Of the verticals whose tables older databases have, by their names: nobody else may use these."""
