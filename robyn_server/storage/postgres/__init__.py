"""PostgreSQL itself: pools, named queries, migrations, errors, notifications."""
