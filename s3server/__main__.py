"""``python -m s3server`` is ``curvine-s3-gateway``."""

from s3server.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
