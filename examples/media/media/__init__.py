"""What is measured in videos, and how a language model is asked about it."""
