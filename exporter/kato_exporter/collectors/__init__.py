"""One module per subject: from a store's data to metric families."""
