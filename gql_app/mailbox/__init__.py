"""The development mailbox: the SMS and mails that went out or would have, live. Never served in production."""
