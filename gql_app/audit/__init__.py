"""The change log as people see it: the audit log, and the stream of all changes that one may see."""
