"""The forms in which a row can be written, and what comes of each: recorded with what, or refused with which words.

`docs/capture.md` is made of this list: python -m tests.changes.forms > docs/capture.md
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, ForeignKey, Numeric, String, func, select
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship

from gql_app.changes.tracking import Tracked, tracked
from gql_app.db import UtcDateTime


class Base(DeclarativeBase):
    """Of its own: these tables are in no migration."""


class Berth(Tracked, Base):
    """What the service's own models do not have."""

    __tablename__ = "berths"
    __entity__ = "Berth"

    code: Mapped[str] = mapped_column(String(20), primary_key=True)
    spec: Mapped[dict[str, Any] | None] = tracked(MutableDict.as_mutable(JSON()))
    plan: Mapped[dict[str, Any] | None] = tracked(JSON)
    price: Mapped[Decimal | None] = tracked(Numeric(10, 2))
    free_from: Mapped[datetime | None] = tracked(UtcDateTime)
    depth: Mapped[int] = tracked(default=3)
    next_code: Mapped[str | None] = tracked(ForeignKey("berths.code"))
    next: Mapped["Berth | None"] = relationship(
        remote_side="Berth.code", foreign_keys="Berth.next_code", post_update=True
    )
    boats: Mapped[list["Ferry"]] = relationship(back_populates="berth", cascade="all, delete-orphan")


class Ferry(Tracked, Base):
    __tablename__ = "ferries"
    __entity__ = "Ferry"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    berth_code: Mapped[str] = tracked(ForeignKey("berths.code"))
    berth: Mapped[Berth] = relationship(back_populates="boats")


Berth.ferries = column_property(
    select(func.count()).where(Ferry.berth_code == Berth.code).correlate_except(Ferry).scalar_subquery()
)


class Shadow(DeclarativeBase):
    """Another base, with a class of its own for one of the service's tables."""


class Impostor(Shadow):
    __tablename__ = "fuel_requests"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]


@dataclass(frozen=True)
class Form:
    """`code` is run in a unit of work; `expected` is what the log says then, or after a ! the words of the refusal."""

    name: str
    code: str
    expected: str
    on_postgresql: str | None = None
    """Where it differs."""

    def on(self, backend: str) -> str:
        return self.on_postgresql if backend == "postgres" and self.on_postgresql is not None else self.expected


GUARD = "!writes fuel_requests, and its changes would be missing"

UNIT_OF_WORK = [
    Form("assign", "r.note = 'x'", "UPDATED note: a → x"),
    Form("assign an equal value", "r.note = 'a'", ""),
    Form("assign an equal value of another type", "r.status = 'PENDING'", ""),
    Form("assign a value by its name", "r.status = 'APPROVED'", "UPDATED status: PENDING → APPROVED"),
    Form("assign an SQL expression", "r.note = func.upper(F.note)", "!assign a value, not an SQL expression"),
    Form("there and back in two flushes", "r.note = 'x'; session.flush(); r.note = 'a'", ""),
    Form("to NULL", "r.note = None", "UPDATED note: a → –"),
    Form("del", "del r.note", "!assign None instead of del"),
    Form("an expired attribute", "session.expire(r); r.note = 'x'", "UPDATED note: a → x"),
    Form("flagged as changed, without a change", "flag_modified(r, 'note')", ""),
    Form("flagged as changed after a change in place", "b.spec['k'] = 2; flag_modified(b, 'spec')",
         'UPDATED spec: {"k":1} → {"k":2}'),
    Form("a Mutable type, changed in place", "b.spec['k'] = 2", 'UPDATED spec: {"k":1} → {"k":2}'),
    Form("a JSON that Python takes for equal", "b.spec = {'k': True}", ""),
    Form("a Mutable type, there and back", "b.spec['k'] = 2; session.flush(); b.spec['k'] = 1", ""),
    Form("a numeric with more digits than its column", "b.price = Decimal('2.345678')", "UPDATED price: 1.50 → 2.35"),
    Form("a numeric that is equal when rounded", "b.price = Decimal('1.500001')", ""),
    Form("a moment of another zone", "b.free_from = datetime(2026, 1, 1, 2, tzinfo=EAST)",
         "UPDATED free_from: – → 2025-12-31T20:30:00+00:00"),
    Form("a class with a column_property", "assert b.ferries == 1; b.depth = 4", "UPDATED depth: 3 → 4"),
    Form("add", "session.add(F(requester_id=ada.id, litres=5))",
         "CREATED status: – → PENDING; CREATED litres: – → 5.00"),
    Form("add and change before the commit", "new = F(requester_id=ada.id, litres=5); session.add(new); "
         "session.flush(); new.litres = 6", "CREATED status: – → PENDING; CREATED litres: – → 6.00"),
    Form("add and delete", "new = F(requester_id=ada.id, litres=5); session.add(new); session.flush(); "
         "session.delete(new)", ""),
    Form("delete", "session.delete(r)", "DELETED"),
    Form("change, then delete", "r.note = 'x'; session.flush(); session.delete(r)", "DELETED"),
    Form("delete, and add another with its key, in two flushes", "session.delete(r); session.flush(); "
         "session.add(F(id=r.id, requester_id=ada.id, litres=5))",
         "DELETED; CREATED status: – → PENDING; CREATED litres: – → 5.00"),
    Form("delete, and add another with its key, in one flush", "session.delete(r); "
         "session.add(F(id=r.id, requester_id=ada.id, litres=5))",
         "DELETED; CREATED status: – → PENDING; CREATED litres: – → 5.00"),
    Form("a changed primary key", "f.name = 'Zoe'; session.flush(); f.berth_code = 'B'",
         "UPDATED berth_code: A → B"),
    Form("a changed public id", "r.public_id = uuid4()", "!public_id never changes"),
    Form("an orphan of a collection", "b.boats.clear()", "DELETED"),
    Form("a child that comes by a collection", "b.boats.append(Ferry(name='Zoe'))", "CREATED berth_code: – → A"),
    Form("a child that goes to another parent", "c.boats.append(f)", "UPDATED berth_code: A → B"),
    Form("relationship(post_update=True)", "b.next = c", "UPDATED next_code: – → B"),
    Form("merge of an object of another class", "session.merge(U(id=linus.id, version=linus.version))",
         "!plan says of which class it is: delete it and add another one"),
    Form("the discriminator assigned", "linus.plan = 'STANDARD'",
         "!plan says of which class it is: delete it and add another one"),
    Form("merge of a detached copy", "session.expunge(r); r2 = F(id=r.id, public_id=r.public_id, "
         "requester_id=ada.id, note='x', version=r.version, litres=r.litres, status=r.status); session.merge(r2)",
         "UPDATED note: a → x"),
    Form("expunged after the flush", "r.note = 'x'; session.flush(); session.expunge(r)", "UPDATED note: a → x"),
    Form("expunged before the flush", "r.note = 'x'; session.expunge(r)", ""),
    Form("made transient after the flush", "r.note = 'x'; session.flush(); make_transient(r); r.public_id = uuid4(); "
         "r.note = 'y'", "UPDATED note: a → x"),
    Form("refreshed before the flush", "r.note = 'x'\nwith session.no_autoflush: session.refresh(r)", ""),
    Form("a savepoint that is rolled back", "s = session.begin_nested(); r.note = 'x'; session.flush(); s.rollback()",
         ""),
    Form("a savepoint of the connection, rolled back", "s = session.connection().begin_nested(); r.note = 'x'; "
         "session.flush(); s.rollback()", ""),
    Form("a savepoint of the connection, left open", "session.connection().begin_nested(); r.note = 'x'; "
         "session.flush()", "UPDATED note: a → x"),
    Form("a savepoint that is left open", "session.begin_nested(); r.note = 'x'", "UPDATED note: a → x"),
    Form("rolled back, and on", "r.note = 'x'; session.flush(); session.rollback(); "
         "session.get_one(F, r.id).note = 'y'", "UPDATED note: a → y"),
    Form("committed half-way", "r.note = 'x'; session.commit(); r.note = 'y'",
         "UPDATED note: a → x; UPDATED note: x → y"),
    Form("a subclass by joined inheritance", "linus.email = 'l@example.test'",
         "UPDATED email: linus@example.test → l@example.test"),
    Form("a secret", "ada.password_hash = HASH[:-1] + 'b'", "UPDATED password_hash: – → –"),
    Form("bulk_save_objects", "session.bulk_save_objects([r])", "!use session.add_all"),
    Form("bulk_insert_mappings", "session.bulk_insert_mappings(F, [{}])", "!use session.add_all"),
    Form("bulk_update_mappings", "session.bulk_update_mappings(F, [{'id': r.id, 'note': 'x'}])",
         "!use session.add_all"),
    Form("a JSON changed in place before another is assigned", "c.plan = {'a': 1}; session.flush(); c.plan['a'] = 2; "
         "c.plan = {**c.plan, 'b': 1}; session.flush()", 'UPDATED plan: – → {"a":2,"b":1}'),
    Form("JSON.NULL", "c.plan = {'a': 1}; session.flush(); c.plan = JSON.NULL", ""),
    Form("delete, and add another with its key, together with others", "session.delete(r); "
         "session.add(F(id=50, requester_id=ada.id, litres=5)); session.add(F(id=r.id, requester_id=ada.id, litres=6))",
         "CREATED status: – → PENDING; CREATED litres: – → 5.00; DELETED; CREATED status: – → PENDING; CREATED litres: "
         "– → 6.00"),
    Form("delete, and add one of a subclass with its key, in one flush", "session.delete(ada); session.add(Premium("
         "id=ada.id, username='x', email='x@example.test', password_hash=HASH, premium_since=datetime.now(UTC)))",
         "!session.flush() between"),
    Form("a plain session on the connection: update() of many", "Session(session.connection())"
         ".execute(update(F), [{'id': r.id, 'note': 'x', 'version': 1}])", GUARD),
    Form("a second session that records, on the connection", "WriteSession(session.connection()).get(F, r.id)",
         "!another session records"),
    Form("a connection without transactions", "session.rollback(); session.connection(execution_options="
         "{'isolation_level': 'AUTOCOMMIT'})", "!without a transaction"),
    Form("the outer transaction is committed past an open savepoint", "t = session.get_transaction(); "
         "session.begin_nested(); r.note = 'x'; t.commit()", "!not recorded yet"),
    Form("an author's before_commit", "event.listen(session, 'before_commit', lambda s: setattr(r, 'note', 'late'))",
         "!not recorded yet"),
    Form("an author's before_update that assigns", "listen('before_update', lambda m, c, t: setattr(t, 'note', 'y')); "
         "r.decided_at = datetime.now(UTC)", "UPDATED note: a → y"),
    Form("an author's before_update that assigns SQL", "listen('before_update', lambda m, c, t: setattr(t, 'note', "
         "func.upper('y'))); r.decided_at = datetime.now(UTC)", "!a mapper event has changed note"),
    Form("an author's after_update that assigns", "listen('after_update', lambda m, c, t: setattr(t, 'note', 'y')); "
         "r.note = 'x'", "UPDATED note: a → x"),
    Form("an author's before_update with a statement", "listen('before_update', lambda m, c, t: c.execute(update(T)"
         ".values(note='y'))); r.note = 'x'", GUARD),
    Form("an untracked class for the same table", "session.get(Impostor, r.id).note = 'x'", GUARD),
]  # fmt: skip
BULK = [
    Form("update() by criteria", "session.execute(update(F).where(F.note == 'a').values(note='x'))",
         "UPDATED note: a → x"),
    Form("update() with an expression", "session.execute(update(F).values(note=F.note + '!'))",
         "UPDATED note: a → a!; UPDATED note: b → b!"),
    Form("update() with parameters", "session.execute(update(F).where(F.note == bindparam('n')).values(note='x'), "
         "{'n': 'a'})", "UPDATED note: a → x"),
    Form("update() with its values as parameters", "session.execute(update(F).where(F.note == 'a'), {'note': 'x'})",
         "UPDATED note: a → x"),
    Form("Query.update()", "session.query(F).filter(F.note == 'a').update({'note': 'x'})", "UPDATED note: a → x"),
    Form("Query.delete()", "session.query(F).filter(F.note == 'a').delete()", "DELETED"),
    Form("update() of an alias", "a = aliased(F); session.execute(update(a).where(a.note == 'a').values(note='x'))",
         "!use update(FuelRequest)"),
    Form("update() in a lambda_stmt()", "session.execute(lambda_stmt(lambda: update(F).values(note='x')))", GUARD),
    Form("update() with with_loader_criteria()", "session.execute(update(F).values(note='x')"
         ".options(with_loader_criteria(F, F.note == 'a')))", "UPDATED note: a → x"),
    Form("update() of a discriminator", "session.execute(update(U).values(plan='PREMIUM'))", "!load the objects"),
    Form("delete() by criteria that match other rows each time", "session.execute(delete(F).where(F.id.in_("
         "select(F.id).order_by(func.random()).limit(1))))", "DELETED"),
    Form("update() with a text that writes in a CTE", "q = text(\"UPDATE projects SET name = 'z' RETURNING name\")"
         ".columns(column('name', String)).cte('q'); session.execute(update(F).values(note=select(q.c.name)"
         ".scalar_subquery()))", "!writes projects"),
    Form("update() that changes nothing", "session.execute(update(F).values(note=F.note))", ""),
    Form("update() with RETURNING", "assert session.execute(update(F).where(F.id == r.id).values(note='x')"
         ".returning(F.note)).all() == [('x',)]", "UPDATED note: a → x"),
    Form("update() with a subquery", "session.execute(update(F).where(F.requester_id.in_(select(U.id).where(U.username "
         "== 'ada')), F.note == 'a').values(note='x'))", "UPDATED note: a → x"),
    Form("update() with a join (UPDATE … FROM)", "session.execute(update(F).where(F.requester_id == U.id, "
         "U.username == 'ada', F.note == 'a').values(note=U.username))", "UPDATED note: a → ada"),
    Form("update() of another class by parameters", "session.execute(update(U).where(U.id == ada.id), "
         "{'plan': 'PREMIUM'})", "!which makes it or belongs to a subclass"),
    Form("update() with a prefix", "session.execute(update(F).values(note='x').prefix_with('OR REPLACE'))",
         "!with a prefix"),
    Form("delete of what refers by post_update", "b.next = c; session.flush(); b.next; session.delete(f); "
         "session.delete(b)", "DELETED; DELETED"),
    Form("update() with a CTE", "c = select(F.id).where(F.note == 'a').cte('c'); "
         "session.execute(update(F).where(F.id.in_(select(c.c.id))).values(note='x'))", "UPDATED note: a → x"),
    Form("update() after a change that is not flushed", "r.note = 'x'; "
         "session.execute(update(F).where(F.id == r.id).values(litres=Decimal(5)))",
         "UPDATED note: a → x; UPDATED litres: 10.00 → 5.00"),
    Form("update() under no_autoflush, with changes that are not flushed", "with session.no_autoflush:\n"
         "    r.note = 'x'; session.execute(update(F).values(note='y'))", "!call session.flush"),
    Form("update() of the base of an inheritance", "session.execute(update(U).values(phone_number='+15005550111'))",
         "UPDATED phone_number: +15005550100 → +15005550111; UPDATED phone_number: – → +15005550111"),
    Form("update() of one of two tables", "session.execute(update(Premium).values(premium_since=datetime.now(UTC)))",
         "!load the objects"),
    Form("update() of many by primary key", "session.execute(update(F), [{'id': r.id, 'note': 'x'}])",
         "!load the objects, or use update"),
    Form("update().ordered_values()", "session.execute(update(F).ordered_values((F.note, 'x')))", "!use values"),
    Form("update() that fails half-way, caught", "try: session.execute(update(F)"
         ".values(note='x', requester_id=99))\nexcept Exception: pass", "!failed half-way"),
    Form("the same in a savepoint that is rolled back", "try:\n    with session.begin_nested(): "
         "session.execute(update(F).values(note='x', requester_id=99))\n"
         "except Exception: pass", ""),
    Form("update() in a savepoint that is rolled back, then an assignment", "s = session.begin_nested(); "
         "session.execute(update(F).values(note='x')); s.rollback(); r.note = 'x'", "UPDATED note: a → x"),
    Form("update() of a JSON to what Python takes for equal", "session.execute(update(Berth).where(Berth.code == 'A')"
         ".values(spec={'k': True}))", 'UPDATED spec: {"k":1} → {"k":true}'),
    Form("delete() by criteria", "session.execute(delete(F).where(F.note == 'a'))", "DELETED"),
    Form("delete() with a join (DELETE … USING)", "session.execute(delete(F).where(F.requester_id == U.id, "
         "U.username == 'ada', F.note == 'a').execution_options(synchronize_session=False))",
         "!does not support multiple-table criteria", "DELETED"),
    Form("delete() with RETURNING", "assert len(session.execute(delete(F).returning(F.id)).all()) == 2",
         "DELETED; DELETED"),
    Form("insert()", "session.execute(insert(F).values(note='x'))", "!use session.add_all"),
    Form("insert() of many", "session.execute(insert(F), [{'note': 'x'}])", "!use session.add_all"),
]  # fmt: skip
PAST = [
    Form("Core update()", "session.execute(update(T).values(note='x'))", GUARD),
    Form("Core delete()", "session.execute(delete(T))", GUARD),
    Form("Core insert()", "session.execute(insert(T).values(note='x'))", GUARD),
    Form("Core insert().from_select()", "session.execute(insert(T).from_select(['note'], select(T.c.note)))", GUARD),
    Form("Core update() on session.connection()", "session.connection().execute(update(T).values(note='x'))", GUARD),
    Form("Core update() of a subclass's table", "session.execute(update(Premium.__table__).values(id=1))",
         "!writes premium_users"),
    Form("an update() with a text in a CTE that writes the same table", "q = text(\"UPDATE fuel_requests "
         "SET note = 'z' WHERE note = 'b' RETURNING id\").columns(column('id')).cte('q'); "
         "session.execute(update(F).where(F.note == 'a').values(note='x').add_cte(q))", GUARD),
    Form("text(): TRUNCATE … CASCADE of another table", "session.execute(text('TRUNCATE delivery_attempts CASCADE'))",
         "!no CASCADE"),
    Form("another Session in a mapper event", "listen('before_update', lambda m, c, t: "
         "Session(c).execute(text('SELECT 1'))); r.note = 'x'", "!use that connection by itself"),
    Form("an update() in a CTE below a select()", "session.execute(select(update(F).where(F.id == r.id)"
         ".values(note='x').returning(F.id).cte('u')))", GUARD),
    Form("the same two levels down", "u = update(T).values(note='x').returning(T.c.id).cte('u'); "
         "v = select(u.c.id).cte('v'); session.execute(select(v.c.id))", GUARD),
    Form("an insert() into a tracked table in a CTE of an update()", "i = insert(T).values(note='x').returning(T.c.id)"
         ".cte('i'); session.execute(update(F).where(F.id.in_(select(i.c.id))).values(note='y'))", "!two statements"),
    Form("select().from_statement(update())", "session.execute(select(F).from_statement(update(F).values(note='x')"
         ".returning(F))).all()", GUARD),
    Form("text()", "session.execute(text(\"UPDATE fuel_requests SET note = 'x'\"))", GUARD),
    Form("text(), quoted and in capitals", "session.execute(text('DELETE FROM \"FUEL_REQUESTS\"'))", GUARD),
    Form("text() with a comment", "session.execute(text(\"UPDATE /* why */ fuel_requests SET note = 'x'\"))", GUARD),
    Form("text() with a line comment", "session.execute(text(\"UPDATE -- why\\n fuel_requests SET note = 'x'\"))",
         GUARD),
    Form("text() with a schema", "session.execute(text(\"UPDATE main.fuel_requests SET note = 'x'\"))", GUARD),
    Form("text() behind WITH", "session.execute(text(\"WITH x AS (SELECT 1) UPDATE fuel_requests SET note = 'x'\"))",
         GUARD),
    Form("text() with RETURNING, as columns", "session.execute(text(\"UPDATE fuel_requests SET note = 'x' RETURNING "
         "id\").columns(F.id))", GUARD),
    Form("text(): INSERT OR REPLACE", "session.execute(text('INSERT OR REPLACE INTO fuel_requests (id) VALUES (1)'))",
         GUARD),
    Form("text(): REPLACE", "session.execute(text('REPLACE INTO fuel_requests (id) VALUES (1)'))", GUARD),
    Form("text(): MERGE", "session.execute(text('MERGE INTO fuel_requests USING users ON true WHEN MATCHED THEN "
         "DELETE'))", GUARD),
    Form("text(): ON CONFLICT DO UPDATE", "session.execute(text(\"INSERT INTO fuel_requests (id) VALUES (1) ON "
         "CONFLICT (id) DO UPDATE SET note = 'x'\"))", GUARD),
    Form("text(): TRUNCATE", "session.execute(text('TRUNCATE users, fuel_requests CASCADE'))", "!writes fuel_requests"),
    Form("text(): COPY", "session.execute(text(\"COPY fuel_requests FROM '/dev/null'\"))", GUARD),
    Form("text(): DO", "session.execute(text(\"DO $$ BEGIN UPDATE fuel_requests SET note = 'x'; END $$\"))", GUARD),
    Form("text(): EXPLAIN ANALYZE", "session.execute(text(\"EXPLAIN ANALYZE UPDATE fuel_requests SET note = 'x'\"))",
         GUARD),
    Form("text(): PREPARE", "session.execute(text(\"PREPARE p AS UPDATE fuel_requests SET note = 'x'\"))", GUARD),
    Form("text(): DROP TABLE", "session.execute(text('DROP TABLE fuel_requests'))", GUARD),
    Form("text(): a name in Unicode escapes", "session.execute(text('UPDATE U&\"fuel\\\\005Frequests\" SET note = 1'))",
         "!cannot be told which table"),
    Form("exec_driver_sql()", "session.connection().exec_driver_sql(\"UPDATE fuel_requests SET note = 'x'\")", GUARD),
    Form("a commit of the connection", "r.note = 'x'; session.flush(); "
         "session.connection().get_transaction().commit()", "!not recorded yet"),
    Form("text(): COMMIT", "r.note = 'x'; session.flush(); session.execute(text('COMMIT'))", "!behind the session"),
    Form("text(): ROLLBACK", "r.note = 'x'; session.flush(); session.execute(text('ROLLBACK'))",
         "!behind the session"),
    Form("text(): SAVEPOINT", "session.execute(text('SAVEPOINT x'))", "!behind the session"),
]  # fmt: skip
FORMS = {"The unit of work": UNIT_OF_WORK, "Bulk statements": BULK, "Past the ORM": PAST}


def document() -> str:
    """The list as Markdown."""
    lines = [INTRODUCTION]
    for title, forms in FORMS.items():
        lines += [f"## {title}", "", "| form | code | SQLite and PostgreSQL |", "|---|---|---|"]
        for form in forms:
            code = form.code.replace("|", "\\|").replace("\n", " ⏎ ")
            told = _told(form.expected)
            if form.on_postgresql is not None:
                told = f"SQLite: {told}; PostgreSQL: {_told(form.on_postgresql)}"
            lines.append(f"| {form.name} | `{code}` | {told} |")
        lines.append("")
    return "\n".join(lines)


def _told(expected: str) -> str:
    if expected.startswith("!"):
        return f"**refused**: “… {expected[1:]} …”"
    return "recorded: " + "; ".join(f"`{each}`" for each in expected.split("; ")) if expected else "nothing to say"


INTRODUCTION = """# What is recorded, and what is refused

A change of a tracked model is recorded in the change log with its right values, or it is refused with a sentence that
says what to do. This list is made by `tests/changes/forms.py`. A test runs each form on SQLite and on PostgreSQL.

In the code `r` is a fuel request with the note "a", `ada` its requester, `F` and `T` are its model and its table, `U`
is `User`, `Premium` its subclass by joined inheritance. `b` and `c` are rows of a model with a JSON, a numeric and a
moment, `f` is a child of `b`. *Nothing to say* means that nothing has changed when the transaction commits.

How it works:

- **Flushes.** Mapper events freeze ids, old and new values, and what decides who may see the entity, when the
  statement of an object runs.
- **Bulk statements.** `update(Model)` and `delete(Model)` read the rows that they hit before and after, all at once.
- **Everything else** meets a guard at the driver's cursor. It reads each statement text once and refuses what writes a
  tracked table.
- **Models** that the log could not follow are refused when they are mapped: see `gql_app/changes/mapping.py`.

## What is not seen

The guard reads texts. It does not see:

- functions, triggers, rules and views of the database that write a tracked table, and other programs (but see *Writes
  from outside*);
- statements on a raw driver connection;
- PostgreSQL: statements that name a partition or a child table of a tracked table.

PostgreSQL: a query with `load_only()` or `defer()` and `populate_existing` can load an object's version anew without
its values. When another transaction has changed one of them meanwhile, the next event of the object has an old value
that is one change too old; `gql-app check` finds it.

A mapper event must leave other objects of the same flush alone; SQLAlchemy says so, too. If it changes or refreshes
another one, the log can tell that one's change wrongly.

A unit of work that reads can still call a function of the database that writes, by a statement that is given to
`Database.look_up`: on PostgreSQL that has no transaction of its own.

## Writes from outside

`gql-app capture install` has triggers note what psql, another service, a foreign key or a trigger of the database
writes to tracked tables; `gql-app capture remove` drops them, and `gql-app capture status` says whether they are
there. They are off by default. What they note becomes entries of the log: by the next transaction of the service that
records something, or by any process that runs, within `GQL_APP_POLL_INTERVAL_MS`. So it is told once, before what the
service does to the same rows later, and to those who may see the entity. Nobody is named as the actor, and no rules
are run: nobody gets an SMS for it. `check` knows both. A transaction from outside is one change set on PostgreSQL. On
SQLite nothing names it: what is taken in together is one, until a row is written again. So nothing that was committed
stays unsaid, and what one transaction changed there and back is told, too.

- A row that is inserted from outside needs a `public_id` and a `version` (1). An update from outside raises the
  version by itself, so a unit of work that has read the row before is run again. A public id must never change: from
  outside it is told as the end of one entity and the beginning of another, without what is in the tables of
  subclasses.
- Of a secret attribute it is noted that it changed, and not what it was.
- A value that cannot be read is told as it stands, and holds up nobody; `check` finds it in the row.
- What a foreign key or somebody's trigger makes of a statement of the service is a part of that transaction's own
  change.
- Run it again after a table or a tracked column was added; `gql-app migrate` does so by itself. A process that does
  not know a table yet leaves its rows to one that does. On PostgreSQL the user needs the rights to make triggers and
  functions; those who write need none besides.
- Migrations count as outside: what a script does to tracked rows is told. On SQLite it is not, for the triggers are
  dropped meanwhile.
- Not noted: on SQLite what UPDATE OR REPLACE deletes, what INSERT OR REPLACE deletes by an index of an expression,
  and what a trigger of somebody's does in a transaction of the service; on PostgreSQL what is written with
  `session_replication_role = replica` or by logical replication. A TRUNCATE in a transaction that is not READ
  COMMITTED is refused, for it would not see all the rows that it deletes.
- Who may see an entity is worked out when the change is taken in, by what is so then. Somebody who came into sight
  between the change and that may be told of the change.
- What it costs: a statement from outside writes one more row. A transaction of the service says that it is one, which
  is one more statement on PostgreSQL and two on SQLite, and it looks whether something waits (W10 in
  [benchmarks.md](benchmarks.md)). Thousands of rows that are written from outside at once delay the next transaction
  of the service: 50,000 by seconds. What came while no process ran is taken in before one serves, in bites.
"""

if __name__ == "__main__":
    print(document(), end="")
