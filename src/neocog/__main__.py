"""`python -m neocog` is the command line."""

from neocog.app.cli.main import main

if __name__ == "__main__":
    main()
