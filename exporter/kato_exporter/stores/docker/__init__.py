"""The container engine by Docker's API."""
