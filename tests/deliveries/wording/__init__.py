"""A package with templates of the tests' own."""
