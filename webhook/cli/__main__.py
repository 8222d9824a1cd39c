"""`python -m webhook.cli` is `alertmend`."""

from webhook.cli import main

main()
