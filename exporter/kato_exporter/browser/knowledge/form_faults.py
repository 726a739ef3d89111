"""What is wrong with what was typed into a form, field by field."""

from collections.abc import Mapping


class FormFaultsError(ValueError):
    """A sentence for each field that cannot be taken; that of no field is about the whole."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(faults.values()))
        self.faults = dict(faults)
