"""What is wrong with a form in which a record is edited, or with the wish to edit it in one."""

from collections.abc import Mapping


class NotEditableError(ValueError):
    """A record that no form tells exactly; says why, in sentences."""


class FormFaultsError(ValueError):
    """A sentence for each field that cannot be taken; that of no field is about the whole."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(faults.values()))
        self.faults = dict(faults)
