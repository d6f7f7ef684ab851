"""A Curvine cluster for tests: real frames on real sockets (127.0.0.1, port 0), metadata in memory, blocks in files.

It has the traps, texts and times of the real one as far as they were measured, and faults that can be switched on.
What it answers is held to recorded conversations by tests/unit/test_sim.py; a difference between it and a live cluster
is a bug here.
"""
