"""One folder a family, one file a rule; each rule's docstring is its page."""
