"""Bodies and answers as pydantic models: for the OpenAPI page, and to validate bodies that are not hot."""
