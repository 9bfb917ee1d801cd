"""One module for each topic of the API; each has a `router`."""
