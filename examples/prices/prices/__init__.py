"""Reading prices: a browser for pages that are made by scripts, and a parser for what it sees."""
