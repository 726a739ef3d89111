"""What all tests have in common."""

import os

from flask import Flask
from hypothesis import HealthCheck, settings

from support.templates import CompiledOnce

if "PYTEST_XDIST_WORKER" in os.environ:
    # How long an example takes is then the doing of the tests beside it.
    settings.register_profile(
        "beside others",
        settings(),
        deadline=None,
        suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
    )
    settings.load_profile("beside others")

Flask.jinja_options = {"bytecode_cache": CompiledOnce()}
