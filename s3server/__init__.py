"""The server: threads, sockets, configuration, and the object store that joins s3proto and curvinefs."""

__version__ = "0.1.0"
