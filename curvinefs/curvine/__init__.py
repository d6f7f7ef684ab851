"""Curvine's native protocol, bottom up: ``frames`` and ``errors`` (bytes), ``pool`` (connections), ``master`` (one
call), ``calls`` (what the master can do, with a guard for each of its traps), ``write`` ``read`` ``parted`` ``locks``
(what a file system is made of).  ``curvinefs.client`` joins them.

Facts about the servers are Curvine's at commit bff4e7dc, measured on running clusters; docs/curvinefs.md lists them.
"""
