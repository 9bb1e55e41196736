"""How the page looks, on a screen by day and night, and on paper."""

from __future__ import annotations

__all__ = ["STYLE_SHEET"]

STYLE_SHEET = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --faint: #5c5c5c;
  --line: #dcdcdc; --stripe: #f6f6f6; --link: #005a8f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #161616;
  --faint: #a6a6a6; --line: #3a3a3a; --stripe: #1e1e1e; --link: #7cc0ee; } }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1.25rem 3rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; overflow-wrap: anywhere; }
a { color: var(--link); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.25rem; margin: 0; }
dt { font-weight: 600; }
dd { margin: 0; max-width: 46rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { border-bottom: 1px solid var(--ink); white-space: normal; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); }
td:last-child.word { white-space: normal; overflow-wrap: anywhere; min-width: 16rem; }
th.word, td.word { text-align: left; }
tbody tr:nth-child(even) { background: var(--stripe); }
figure { margin: 0 0 2.5rem; break-inside: avoid; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption, .note, footer { color: var(--faint); font-size: 13.5px; max-width: 54rem; }
figcaption { margin-top: .5rem; }
.note { margin: .4rem 0 0; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; } }
@media print { :root { --ink: #000; --paper: #fff; --faint: #444; --line: #ccc; --stripe: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; } table { font-size: 7pt; }
  th, td { padding: .1rem .3rem; } .wide { overflow: visible; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } a { color: inherit; } }
"""
"""CSS; it asks for nothing outside the page."""
