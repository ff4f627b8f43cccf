"""Damage done on purpose, past the service, and as what `gql-app check` finds it. `docs/check.md` shows this list."""

from tests.reconcile.sql import (
    DECISION,
    FAILING,
    FIRST_STATUS,
    GONE,
    IN_THE_AIR,
    LAST_STATUS,
    LATER,
    LITRES,
    LONG_AGO,
    NEW,
    NOW,
    OPEN,
    PROJECT,
    RULE,
    SENT_SMS,
    SMS_DECIDED,
    UNCLEAR,
    USER,
    WELCOME,
    Damage,
    another_message,
    copied,
    event,
    forget,
    ids,
    set_attempt,
    set_event,
    set_message,
)

Listed = list[tuple[str, str, str | tuple[str, ...]]]
"""What is done, as what it is found, and the SQL that does it."""

LOG: Listed = [
    ("The creation of one attribute is deleted", "unrecorded", f"DELETE FROM change_events WHERE {LITRES}"),
    ("All events of an entity are deleted", "unrecorded", f"DELETE FROM change_events WHERE entity_id = {OPEN}"),
    (
        "The creation of a secret attribute is deleted",
        "unrecorded",
        f"DELETE FROM change_events WHERE {event(USER, 'password_hash', 'CREATED')}",
    ),
    ("The last event of an attribute is deleted", "differs", f"DELETE FROM change_events WHERE {DECISION}"),
    ("An event in the middle is deleted", "broken chain", f"DELETE FROM change_events WHERE {FIRST_STATUS}"),
    ("An update is there twice", "broken chain", copied(LAST_STATUS)),
    ("The last new value is changed", "differs", set_event("new_value = 'REJECTED'", DECISION)),
    ("A new value in the middle is changed", "broken chain", set_event("new_value = 'ON_HOLD'", FIRST_STATUS)),
    ("An old value is changed", "broken chain", set_event("old_value = 'REJECTED'", DECISION)),
    ("An old value is removed", "broken chain", set_event("old_value = NULL", DECISION)),
    ("An update does not change anything", "says nothing", copied(LAST_STATUS, old_value="new_value")),
    ("An event stands behind a later one", "broken chain", set_event("position = 1000000", FIRST_STATUS)),
    ("An update is called a creation", "created twice", set_event("kind = 'CREATED', old_value = NULL", DECISION)),
    ("A creation is called an update", "broken chain", set_event("kind = 'UPDATED', old_value = '5.00'", LITRES)),
    ("A creation is there twice", "created twice", copied(LITRES)),
    ("An entity is created again in another change set", "created twice", copied(LITRES, change_set=f"'{NEW}'")),
    (
        "The creation is deleted, and updates are left",
        "no beginning",
        f"DELETE FROM change_events WHERE entity_id = {PROJECT} AND kind = 'CREATED'",
    ),
    (
        "A deletion is made up",
        "deleted and there",
        copied(DECISION, kind="'DELETED'", attribute="NULL", old_value="NULL", new_value="NULL"),
    ),
    ("A deletion is deleted", "missing row", f"DELETE FROM change_events WHERE {GONE}"),
    ("A deletion is there twice", "after the end", copied(GONE)),
    (
        "An update follows the deletion",
        "after the end",
        copied(GONE, kind="'UPDATED'", attribute="'project'", old_value=f"'{NEW}'", new_value=f"'{NEW}'"),
    ),
    ("A deletion has values", "malformed", set_event("attribute = 'project', old_value = 'x'", GONE)),
    ("A creation has an old value", "malformed", set_event("old_value = '5.00'", LITRES)),
    ("An update has no attribute", "malformed", set_event("attribute = NULL", DECISION)),
    ("The kind of a change is none", "malformed", set_event("kind = 'BENT'", DECISION)),
    ("An attribute is one that nobody knows", "unknown", set_event("attribute = 'colour'", DECISION)),
    ("An entity type is one that nobody knows", "unknown", set_event("entity_type = 'Zeppelin'", DECISION)),
    ("A value is none of its type", "unreadable", set_event("new_value = 'MAYBE'", FIRST_STATUS)),
    ("A number is none", "unreadable", set_event("new_value = 'ten'", LITRES)),
    (
        "The value of a secret is written down",
        "secret told",
        set_event("new_value = 'secret'", event(USER, "password_hash", "CREATED")),
    ),
    ("An event is about another entity type", "no beginning", set_event("entity_type = 'Project'", DECISION)),
    ("An event is about another entity", "differs", set_event(f"entity_id = {OPEN}", DECISION)),
    (
        "An event of a message belongs to another user",
        "wrong owner",
        set_event("owner_id = 999", event(f"(SELECT public_id FROM deliveries WHERE {WELCOME})", "state", "CREATED")),
    ),
]
ROWS: Listed = [
    ("A value is changed", "differs", "UPDATE fuel_requests SET note = 'past the log' WHERE note = 'open'"),
    ("A value is removed", "differs", "UPDATE users SET phone_number = NULL WHERE username = 'ada'"),
    (
        "A value is set that was empty",
        "unrecorded",
        "UPDATE fuel_requests SET decision_note = 'past the log' WHERE note = 'open'",
    ),
    (
        "A number is changed by a hundredth",
        "differs",
        "UPDATE fuel_requests SET litres = litres + 1 WHERE note = 'open'",
    ),
    (
        "The tracked value of a row of a subclass is changed",
        "differs",
        "UPDATE users SET email = 'past@example.test' WHERE username = 'linus'",
    ),
    ("A revoked session is valid again", "differs", "UPDATE sessions SET revoked_at = NULL"),
    ("A value is none of its type", "unreadable", "UPDATE fuel_requests SET status = 'MAYBE' WHERE note = 'open'"),
    ("A row is deleted", "missing row", "DELETE FROM fuel_requests WHERE note = 'open'"),
    (
        "A row is added",
        "unrecorded",
        "INSERT INTO fuel_requests (public_id, requester_id, status, litres, created_at, updated_at, version)"
        f" SELECT '{NEW}', requester_id, status, litres, created_at, updated_at, version FROM fuel_requests"
        " WHERE note = 'open'",
    ),
    ("A row has another public id", "missing row", f"UPDATE fuel_requests SET public_id = '{NEW}' WHERE note = 'open'"),
    ("The row of the subclass is deleted", "half a row", "DELETE FROM premium_users"),
    (
        "A row is of the subclass without its row there",
        "half a row",
        "UPDATE users SET plan = 'PREMIUM' WHERE username = 'ada'",
    ),
    (
        "A row is of the base class with a row of the subclass",
        "half a row",
        "UPDATE users SET plan = 'STANDARD' WHERE username = 'linus'",
    ),
    ("The kind of a row is none", "half a row", "UPDATE users SET plan = 'GOLD' WHERE username = 'ada'"),
]
STATE: Listed = [
    (
        "An entry was never moved out of the outbox",
        "stuck in the outbox",
        copied(LAST_STATUS, "change_outbox", occurred_at=f"'{LONG_AGO}'", old_value="new_value", new_value="old_value"),
    ),
    ("An entry in the outbox does not fit to the log", "broken chain", copied(LAST_STATUS, "change_outbox")),
    (
        "The log counts as pruned where it is not",
        "below the floor",
        "INSERT INTO change_log_state (id, pruned_through) VALUES (1, 3)",
    ),
    (
        "The log counts as pruned beyond its end",
        "positions ahead",
        "INSERT INTO change_log_state (id, pruned_through) VALUES (1, 1000000)",
    ),
    (
        "There are two rows of state",
        "doubled state",
        "INSERT INTO change_log_state (id, pruned_through) VALUES (1, 0), (2, 0)",
    ),
    (
        "Messages count as pruned until tomorrow",
        "ahead of time",
        f"INSERT INTO change_log_state (id, pruned_through, deliveries_pruned_before) VALUES (1, 0, '{LATER}')",
    ),
    (
        "An attribute is tracked from beyond the end",
        "ahead of time",
        "INSERT INTO tracked_since (entity_type, attribute, since_position, since)"
        f" VALUES ('Zeppelin', '', 1000000, '{NOW}')",
    ),
]
DECISIONS: Listed = [
    ("A message is deleted", "missing message", f"DELETE FROM deliveries WHERE {SMS_DECIDED}"),
    ("All messages of a rule are deleted", "missing message", f"DELETE FROM deliveries WHERE {RULE}"),
    ("A message is deleted, and all that the log says of it", "missing message", forget(SMS_DECIDED)),
    ("A welcome is deleted, and all that the log says of it", "missing message", forget(WELCOME)),
    (
        "A decision owes one more",
        "missing message",
        set_event("decisions = replace(decisions, '\"SMS\":1', '\"SMS\":2')", DECISION),
    ),
    (
        "A decision owes nothing",
        "owed by nothing",
        set_event("decisions = '{\"demo.fuel_requests.rules.tell_requester\":{}}'", DECISION),
    ),
    (
        "A decision is about another rule",
        "owed by nothing",
        set_event("decisions = replace(decisions, 'tell_requester', 'tell_nobody')", DECISION),
    ),
    ("A message is there twice", "owed twice", another_message(SMS_DECIDED)),
    (
        "A message is there twice, and its decision is not known",
        "owed twice",
        (another_message(SMS_DECIDED), set_event("decisions = NULL", DECISION)),
    ),
    ("A message of a rule that owed none", "owed by nothing", another_message(SMS_DECIDED, rule="'invented.rule'")),
    (
        "A message by a channel that was not owed",
        "owed by nothing",
        another_message(f"channel = 'EMAIL' AND {WELCOME}", channel="'SMS'"),
    ),
    (
        "A message is of a change set that is not there",
        "owed by nothing",
        set_message(f"change_set = '{NEW}'", SMS_DECIDED),
    ),
    ("A message is about another entity", "owed by nothing", set_message(f"cause_id = {OPEN}", SMS_DECIDED)),
    ("A message goes by another channel", "missing message", set_message("channel = 'EMAIL'", SMS_DECIDED)),
    ("A message is put down to another rule", "missing message", set_message("rule = 'invented.rule'", SMS_DECIDED)),
    ("A decision is no JSON", "unreadable", set_event("decisions = '{'", DECISION)),
    ("A decision is no object", "unreadable", set_event("decisions = '[1]'", DECISION)),
    ("A decision counts with words", "unreadable", set_event('decisions = \'{"a":{"owed":{"SMS":"one"}}}\'', DECISION)),
]
MESSAGES: Listed = [
    ("A sent message is due", "stuck", set_message(f"due_at = '{LATER}'", SENT_SMS)),
    ("A message that has not ended is never due", "stuck", set_message("due_at = NULL", UNCLEAR)),
    ("A state is stored that is only shown", "stuck", set_message("state = 'SENDING'", IN_THE_AIR)),
    ("A state is none", "stuck", set_message("state = 'LOST'", SENT_SMS)),
    ("A message that has ended is in a worker's hands", "stuck", set_message(f"lease = '{NEW}'", SENT_SMS)),
    ("A channel is none", "stuck", set_message("channel = 'PIGEON'", UNCLEAR)),
    (
        "Nobody sends what is due",
        "overdue",
        (f"UPDATE delivery_attempts SET started_at = '{LONG_AGO}'", set_message(f"due_at = '{LONG_AGO}'", UNCLEAR)),
    ),
    ("The state of a message is changed", "differs", set_message("state = 'DELIVERED'", SENT_SMS)),
    ("The attempt that sent a message has failed", "unexplained", set_attempt("outcome = 'TRANSIENT'", SENT_SMS, 2)),
    (
        "The attempts of a message that was given up have not failed",
        "unexplained",
        set_attempt("outcome = 'REFUSED'", FAILING),
    ),
    (
        "The unclear attempt of an unclear message is clear",
        "unexplained",
        set_attempt("outcome = 'TRANSIENT'", UNCLEAR),
    ),
    ("An attempt has an end and no outcome", "unexplained", set_attempt("outcome = NULL", SENT_SMS, 1)),
    ("A message names another result than its attempts", "unexplained", set_message("provider_id = 'SM0'", SENT_SMS)),
    (
        "The first attempt is deleted",
        "attempt missing",
        f"DELETE FROM delivery_attempts WHERE number = 1 AND delivery_id IN {ids(SENT_SMS)}",
    ),
    (
        "All attempts are deleted",
        "attempt missing",
        f"DELETE FROM delivery_attempts WHERE delivery_id IN {ids(SENT_SMS)}",
    ),
    (
        "A message counts one attempt more",
        "attempt missing",
        set_message("attempt_count = attempt_count + 1", SENT_SMS),
    ),
    ("An attempt has another number", "attempt missing", set_attempt("number = 9", SENT_SMS, 2)),
    (
        "An attempt belongs to another message",
        "attempt missing",
        set_attempt(f"number = 9, delivery_id = (SELECT max(id) FROM deliveries WHERE {UNCLEAR})", SENT_SMS, 1),
    ),
    ("A message counts more failures", "failures miscounted", set_message("failure_count = 5", SENT_SMS)),
    ("A message in a worker's hands is taken from it", "open attempt", set_message("lease = NULL", IN_THE_AIR)),
    (
        "An attempt under way is ended, and the message is not",
        "idle lease",
        set_attempt(f"finished_at = '{NOW}', outcome = 'TRANSIENT'", IN_THE_AIR),
    ),
    (
        "Two messages have one result",
        "one result for two",
        set_attempt(f"provider_id = (SELECT max(provider_id) FROM deliveries WHERE {WELCOME})", SENT_SMS, 2),
    ),
    ("A message belongs to another user", "wrong owner", set_message("recipient_id = 999", SENT_SMS)),
]
SEQUENCE = Damage(
    "The log as a whole",
    "Positions will be given out again",
    "positions ahead",
    ("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'change_events'",),
    ("SELECT setval('change_events_position_seq', 1)",),
)
ROOMS = {
    "The log": LOG,
    "Rows": ROWS,
    "The log as a whole": STATE,
    "What rules have owed": DECISIONS,
    "Messages and attempts": MESSAGES,
}
DAMAGES = [
    Damage(room, title, found_as, (statements,) if isinstance(statements, str) else statements)
    for room, damages in ROOMS.items()
    for title, found_as, statements in damages
]
