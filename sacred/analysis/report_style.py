"""How a report looks."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --dim: #636c76; --line: #d8dee4; --back: #ffffff;
  --soft: #f6f8fa; --mark: #0969da; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --line: #3d444d;
  --back: #0d1117; --soft: #161b22; --mark: #4493f8; --good: #3fb950; --bad: #f85149; --warn: #d29922; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 34px 0 10px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
code, pre, td.v, td.n { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 13px; }
.status { display: inline-block; padding: 1px 10px; border-radius: 99px; border: 1px solid; font-size: 13px;
  font-weight: 600; vertical-align: middle; color: var(--warn); }
.status.good { color: var(--good); } .status.bad { color: var(--bad); } .status.live { color: var(--mark); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 12px 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: 13px; }
th, td { padding: 3px 12px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { min-width: 110px; } td.n:has(+ td.v:last-child) { width: 30%; }
td { overflow-wrap: anywhere; } td.r, th.r { text-align: right; white-space: nowrap; }
tr.set td.n { font-weight: 700; color: var(--mark); }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px;
  overflow: auto; max-height: 520px; white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0; }
pre.trace { border-color: var(--bad); }
.note { color: var(--dim); font-size: 13px; margin: 4px 0; } .problem { color: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr)); gap: 18px; margin-bottom: 16px; }
figure { margin: 0; min-width: 0; } figcaption { font-weight: 600; font-size: 14px; overflow-wrap: anywhere; }
figcaption span { color: var(--dim); font-weight: 400; }
.chart { width: 100%; height: auto; display: block; } .chart text { fill: var(--dim); font-size: 11px; }
.chart path { fill: none; stroke: var(--line); } .chart .axis, .chart .tick { stroke: var(--dim); }
.chart .curve { stroke: var(--mark); stroke-width: 1.5; stroke-linejoin: round; }
.chart .point { fill: var(--mark); }
.pictures { display: flex; flex-wrap: wrap; gap: 16px; margin: 12px 0; }
.pictures figure { max-width: 320px; } .pictures img { max-width: 100%; max-height: 320px;
  background: #ffffff; border: 1px solid var(--line); border-radius: 4px; }
details > summary { cursor: pointer; color: var(--dim); margin: 6px 0; }
footer { margin-top: 40px; color: var(--dim); font-size: 13px; }
@media print { pre { max-height: none; } details { display: block; } }
"""
