"""What people with accounts may do."""

import enum


class Role(enum.Enum):
    """What somebody may do. A USER sees her own, an APPROVER every fuel request, an ADMIN everything."""

    USER = "USER"
    APPROVER = "APPROVER"
    ADMIN = "ADMIN"
