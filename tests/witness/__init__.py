"""A second witness of every change: triggers write down what happened to the rows, and the change log must agree.

kinds      what the models say: which tables make an entity, which columns are tracked
triggers   the shadow table `witness` and the triggers that fill it, on both databases
values     what a stored value means, and whether a text of the log denotes it
images     what the triggers wrote down, read by one statement
tracing    row images in their order, as statements about entities
judge      holds the images against the log, and says in sentences where they disagree
witnessed  which databases a test used; the fixture of that name compares them after the test

None of this uses the capture's code: it is an oracle for it.
"""
