"""One gateway for all conversations, with a bucket ``bkt`` and an object ``k`` in it that says ``old``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway import Gateway, running_gateway
from tests.hostile.wire import call

OLD = b"old"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("hostile"), durability="none") as served:
        assert call(served, "PUT", "/bkt").status == 200
        assert call(served, "PUT", "/bkt/k", OLD).status == 200
        yield served
        assert " ERROR " not in served.log, served.log[-4000:]
        for user in (served.owner, *served.users.values()):
            assert user.secret_key not in served.log
