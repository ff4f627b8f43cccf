"""The torture run: the whole service on PostgreSQL and Redis, while processes die and lines are cut.

`make torture SECONDS=600 SEED=7`, or `python -m tests.torture --seconds 600 --seed 7`; a short one is among the tests.

plan          how long, how many, and the seed of all that is left to chance
sites         processes of the service, each with lines of its own to PostgreSQL and Redis; started anew when they end
chaos         kills, cuts, and the diary of what was disturbed when
told          what clients were told has happened
writers       people who ask, decide, and change projects at any server
subscribers   clients that lose their connection and go on from their cursor at another server
delivering    the stand-ins' faults, and waiting cut short
found         the rows of the database at the end
verify        what must hold of them
figures       the summary
run           all of it, in its order
"""
