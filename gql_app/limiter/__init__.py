"""How much one may ask of us.

addresses    whose address it is that limits count for
"""
