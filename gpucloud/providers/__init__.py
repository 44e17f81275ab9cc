"""The cloud edge: one driver per cloud behind the same three verbs."""
