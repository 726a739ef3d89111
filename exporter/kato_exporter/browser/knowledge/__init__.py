"""Pages of the knowledge bases: their patterns and all their documents."""
