"""`python -m eventyard`: the command line."""

from eventyard.cli import main

if __name__ == "__main__":
    main()
