"""How a user's code gets in: scripts without their work, processes that may die."""
