"""Writes from outside: what psql, another service or the database itself does to tracked rows reaches the log, too.

Off until `gql-app capture install`. Then triggers note what others write: one image per row and statement, in their own
transaction. The next transaction of the service that records something, or the intake of any process within a poll,
makes entries of the images. So the log has them once, and before what the service did to the same rows later.

models      the images, and whether it is on
tables      which tables and columns are watched
sqlite · postgres   the triggers
images      reading what they have noted
lives       what became of each entity in a transaction from outside
intake      images become entries of the log
switch      installing, removing, and noticing it in a process that runs
"""
