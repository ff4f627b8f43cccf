"""Who hears of what, and who sees what: the product's two readings of a declaration against a third in plain Python.

models      a model for each way to declare an audience
world       the rows, as dictionaries, and what a step makes of them
oracle      who may see a row, and what a transaction tells to whom
generator   transactions of a seed
acting      the same steps in a session
listening   the streams of one viewer
running     runs a program transaction by transaction, and says at once what is wrong
"""
