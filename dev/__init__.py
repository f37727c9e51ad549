"""What the development doors do: run, demo, print_token, migrate, write_errors. Never imported by the API."""
