"""How the page of a run looks: on screens light and dark, and on paper."""

__all__ = ["CSS"]

CSS = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #52606d; --line: #d9dee4; --paper: #ffffff; --tint: #f5f7f9;
  --accent: #00609a; --bad: #a63d00; --bad-tint: #fdf0e7; --good: #00674b; --good-tint: #ebf6f2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #a5b0bc; --line: #3a4450; --paper: #14191f;
  --tint: #1d242c; --accent: #6cb8ea; --bad: #ffa36b; --bad-tint: #35231a; --good: #5fd0ab; --good-tint: #16302a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.2rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .7rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p, figcaption, li { max-width: 46rem; overflow-wrap: anywhere; }
.about { font-size: 1.1rem; color: var(--soft); margin: .35rem 0 0; }
nav { margin: 1rem 0 0; font-size: .92rem; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
a { color: var(--accent); }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .94rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { padding: .32rem 1.1rem .32rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { color: var(--soft); white-space: nowrap; }
tbody th { font-weight: 500; overflow-wrap: break-word; }
.n { text-align: right; white-space: nowrap; }
.model { font-weight: 650; }
.which { color: var(--soft); font-size: .9em; }
.lines th, .lines td { white-space: nowrap; }
tr.best { background: var(--good-tint); }
tr.lost { color: var(--bad); }
.checks { list-style: none; padding: 0; margin: 0; }
.checks li { max-width: 54rem; margin: .5rem 0; padding: .6rem .9rem; border-left: 4px solid var(--good);
  background: var(--good-tint); border-radius: 0 6px 6px 0; }
.checks li.bad { border-color: var(--bad); background: var(--bad-tint); }
.checks b { color: var(--good); margin-right: .35rem; }
.checks .bad b { color: var(--bad); }
.checks strong { font-weight: 600; }
figure { margin: 1.6rem 0 2.2rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; }
figcaption { margin-top: .55rem; color: var(--soft); font-size: .94rem; }
figcaption strong { color: var(--ink); }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--accent); }
footer { color: var(--soft); font-size: .88rem; padding-top: 1.5rem; padding-bottom: 3rem; }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #ccc; --paper: #fff; --tint: #fff;
  --accent: #000; --bad: #a63d00; --bad-tint: #fff; --good: #00674b; --good-tint: #fff; }
  body { font-size: 10.5pt; } nav { display: none; } h2 { break-after: avoid; }
  figure, tr, .checks li { break-inside: avoid; }
  .lines th, .lines td { white-space: normal; }
  details::details-content { content-visibility: visible; height: auto; }
  main, header, footer { max-width: none; padding: 0; } @page { margin: 16mm; } }
"""
