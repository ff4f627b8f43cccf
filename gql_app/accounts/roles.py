"""What people with accounts may do."""

import enum


class Role(enum.Enum):
    """What somebody may do. A USER sees her own, an ADMIN everything. What an APPROVER may do the verticals say."""

    USER = "USER"
    APPROVER = "APPROVER"
    ADMIN = "ADMIN"
