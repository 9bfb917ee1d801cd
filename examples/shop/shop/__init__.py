"""The shop's own code: what the web application and the tasks share."""
