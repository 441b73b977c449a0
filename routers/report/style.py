"""The look of a report's page: light and dark, on a phone and on a desk."""

STYLE = """
:root {
  color-scheme: light dark;
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --ground: #ffffff; --card: #f5f6f8; --ink: #1b1f24; --quiet: #59626d; --faint: #9aa3ad; --line: #d9dde2;
  --accent: #1769c2; --other: #8a6d3b; --warn: #a4371b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --card: #1d2125; --ink: #e7eaed; --quiet: #a3adb8; --faint: #707a85; --line: #343a41;
    --accent: #5aa9f8; --other: #d3ad6a; --warn: #ff9b7d;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 var(--font); }
h1 { font-size: 1rem; font-weight: 600; margin: 0; color: var(--quiet); }
#headline { font-size: 1.3rem; line-height: 1.4; margin: .25rem 0 1rem; overflow-wrap: anywhere; }
#headline.warned { border-left: .25rem solid var(--warn); padding-left: .75rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0; }
dl div { flex: 1 1 8rem; background: var(--card); border-radius: .5rem; padding: .5rem .75rem; }
dt { font-size: .8rem; color: var(--quiet); }
dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
section { margin-top: 2rem; }
h2 { font-size: 1.15rem; margin: 0 0 .25rem; }
section > p { margin: 0 0 .75rem; max-width: 46rem; color: var(--quiet); overflow-wrap: anywhere; }
ul { margin: 0 0 1rem; padding-left: 1.2rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: baseline; }
thead th { color: var(--quiet); font-weight: 500; }
tbody th { font-weight: 500; min-width: 7rem; max-width: 20rem; overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
td.short { white-space: nowrap; }
tr.marked { background: color-mix(in srgb, var(--accent) 14%, transparent); }
details { margin-top: .75rem; }
summary { cursor: pointer; color: var(--accent); }
figure { margin: 1rem 0 0; max-width: 36rem; }
figcaption { font-size: .8rem; color: var(--quiet); text-align: center; }
.plot { display: block; width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt; }
.pair { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
@media print { .scroll { overflow: visible; } }
"""
