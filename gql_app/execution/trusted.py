"""Documents that are known by an id: the frontend sends the id, and may be kept from sending anything else.

GraphQL over HTTP calls them persisted documents (its appendix A): a request has a `documentId` in place of a `query`.
Tools such as GraphQL Code Generator write the file when the frontend is built.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from gql_app.errors import ConfigurationError, Invalid

SHA256 = "sha256:"
"""The prefix of ids that are the digest of their document; files may have them with it or without."""


class DocumentRefused(Invalid):
    """The document cannot be answered under this id, or not without one."""

    code: ClassVar[str] = "DOCUMENT_NOT_FOUND"


class DocumentNotFound(DocumentRefused):
    """There is no document of this id here: the frontend is newer or older than the server's file of documents."""


class DocumentNotTrusted(DocumentRefused):
    """Only documents of the server's file are answered: send a `documentId`, or deploy the file of this frontend."""

    code = "DOCUMENT_NOT_TRUSTED"


class PersistedQueryNotSupported(DocumentRefused):
    """PersistedQueryNotSupported"""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"


class TrustedDocuments:
    """The documents of one file; `only`: others are refused."""

    def __init__(self, documents: Mapping[str, str] = MappingProxyType({}), *, only: bool = False) -> None:
        self._documents = {key.removeprefix(SHA256): text for key, text in documents.items()}
        self._texts = frozenset(self._documents.values())
        self._only = only

    @classmethod
    def read(cls, path: str, *, only: bool) -> "TrustedDocuments":
        """From a JSON object of ids and documents.

        Raises:
            ConfigurationError: the file is not there, or holds something else.
        """
        if not path:
            if only:
                raise ConfigurationError("GQL_APP_DOCUMENTS_ONLY=1 needs GQL_APP_DOCUMENTS: nothing could be answered.")
            return cls()
        try:
            found = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"GQL_APP_DOCUMENTS: {path} is no readable file of JSON ({error}).") from error
        if not isinstance(found, dict) or not all(isinstance(text, str) and text for text in found.values()):
            raise ConfigurationError(f"GQL_APP_DOCUMENTS: {path} must be a JSON object of ids and documents.")
        return cls(found, only=only)

    def document(self, document_id: str) -> str:
        """Raises DocumentNotFound."""
        found = self._documents.get(document_id.removeprefix(SHA256))
        if found is None:
            raise DocumentNotFound
        return found

    def admit(self, query: str) -> str:
        """A document that came as a text. Raises DocumentNotTrusted."""
        if self._only and query not in self._texts:
            raise DocumentNotTrusted
        return query
