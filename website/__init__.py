"""How the documentation's site is made: hooks of MkDocs, one page or subject a file."""
