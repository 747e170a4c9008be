"""Erasing what is known of a person: found by what runs have come of, planned, stored, and then done bit by bit.

The plan is computed before anything is written, and it is complete before anything is erased. It is carried out in
short transactions, each of which notes what it has done. So an erasure that dies anywhere goes on where it was.
"""
