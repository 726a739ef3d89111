"""Who may see and change records: accounts, sign-in, limits, headers."""
