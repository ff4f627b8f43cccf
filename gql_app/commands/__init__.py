"""The subcommands of `gql-app`, a module for each group; every one of them has ``add_to(subparsers)``."""
