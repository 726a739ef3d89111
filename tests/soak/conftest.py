"""What the tests of the soak have in common."""

import pytest

pytest.register_assert_rewrite("soak")
