"""File systems that the gateway can keep objects in; see ``api``.  Nothing here knows S3."""
