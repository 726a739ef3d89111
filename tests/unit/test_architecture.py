"""The layout of the code holds what design promises."""

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_imports_go_down_only() -> None:
    """No module imports from a layer above its own; the layers stand in pyproject.toml."""
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS
