/** How the page looks. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --back: light-dark(#fbfbfd, #14161a); --front: light-dark(#1c2024, #e6e8ec); --soft: light-dark(#697077, #9aa1a9);
  --line: light-dark(#e1e4e8, #2b2f36); --tint: light-dark(#f0f2f5, #1d2026); --accent: light-dark(#0b62d6, #6aa9ff);
  --good: light-dark(#1a7f45, #5bd28c); --warm: light-dark(#a55b00, #f0b35b); --bad: light-dark(#c62828, #ff7b72);
}
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: grid; grid-template: auto auto auto minmax(0, 1fr) / minmax(0, 1fr); background: var(--back); color: var(--front);
  font: 14px/1.45 system-ui, sans-serif; }
button, input { font: inherit; color: inherit; }
button { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .2rem .6rem; cursor: pointer; }
button:hover { border-color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
[hidden] { display: none !important; }
.soft { color: var(--soft); } a { color: var(--accent); } .link { border: 0; background: none; padding: 0; color: var(--accent); text-decoration: underline; }
header { display: flex; gap: .5rem 1.2rem; align-items: baseline; flex-wrap: wrap; padding: .7rem 1rem .3rem; }
h1 { font-size: 1.05rem; margin: 0; } #counts { font-variant-numeric: tabular-nums; } #connection { color: var(--bad); }
.bar { display: flex; gap: .4rem .8rem; flex-wrap: wrap; align-items: center; padding: .3rem 1rem .6rem; border-bottom: 1px solid var(--line); }
.bar input[type=search] { flex: 1 1 14rem; max-width: 30rem; padding: .25rem .6rem; border: 1px solid var(--line); border-radius: 6px; background: var(--tint); }
.tabs { display: flex; gap: .2rem; } .tabs button[aria-selected=true] { background: var(--accent); border-color: var(--accent); color: var(--back); }
label { display: inline-flex; gap: .3rem; align-items: center; }
#warnings { padding: 0 1rem; max-height: 20vh; overflow: auto; } .bad { color: var(--bad); margin: .4rem 0; }
main { display: flex; min-height: 0; }
.view { flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; overflow: auto; }
.rows { flex: 1 1 0; overflow: auto; position: relative; } .space { position: relative; min-width: 46rem; }
.row, .heads { display: grid; grid-template-columns: 5rem minmax(9rem, 2fr) 6rem minmax(9rem, 2fr) 6rem minmax(10rem, 3fr); gap: .8rem; padding: 0 1rem; }
.row { position: absolute; left: 0; right: 0; height: 26px; line-height: 26px; cursor: pointer; border-bottom: 1px solid var(--line); }
.row > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } .row:hover { background: var(--tint); }
.row[aria-selected=true] { background: color-mix(in srgb, var(--accent) 18%, transparent); }
.heads { border-bottom: 1px solid var(--line); background: var(--tint); min-width: 46rem; } .heads button { border: 0; background: none; text-align: left; padding: .25rem 0; font-weight: 600; }
[aria-sort=ascending]::after { content: ' ↑'; } [aria-sort=descending]::after { content: ' ↓'; }
.id, .since { font-variant-numeric: tabular-nums; color: var(--soft); } .since { text-align: right; }
.state.running { color: var(--good); } .state.unstarted { color: var(--soft); } .state.suspended { color: var(--warm); }
.top, .frames, .source, .waits { font-family: ui-monospace, 'Cascadia Mono', Menlo, monospace; font-size: 12.5px; }
.toggle { border: 0; background: none; padding: 0 .3rem; width: 1.5rem; } .toggle:disabled { cursor: default; }
#stacks, #flame, #timeline { padding: .8rem 1rem; } #stacks details { border-bottom: 1px solid var(--line); padding: .3rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
.count { display: inline-block; min-width: 4rem; text-align: right; padding-right: .6rem; font-variant-numeric: tabular-nums; }
.frames { margin: .4rem 0; padding-left: 2.2rem; } .frames li { overflow-wrap: anywhere; padding: .05rem 0; } .frames li::marker { color: var(--soft); } .frames .own { opacity: .55; }
#panel { flex: 0 0 min(40rem, 45%); min-width: 0; overflow: auto; border-left: 1px solid var(--line); padding: .6rem 1rem; position: relative; }
#panel h2 { font-size: 1rem; margin: 0 2rem .5rem 0; overflow-wrap: anywhere; } .close { position: absolute; right: .8rem; top: .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0 0 .6rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.source { background: var(--tint); border-radius: 6px; padding: .3rem 0; margin: .2rem 0 .5rem; overflow-x: auto; white-space: pre; }
.number { display: inline-block; width: 3.5rem; padding-right: .8rem; text-align: right; color: var(--soft); user-select: none; } .here { background: color-mix(in srgb, var(--accent) 22%, transparent); }
.flame-row { position: relative; height: 24px; } .flame { position: absolute; top: 0; height: 23px; border-radius: 3px; border: 1px solid var(--back); padding: 0 .3rem; overflow: hidden;
  white-space: nowrap; text-overflow: ellipsis; text-align: left; font: 12px/20px ui-monospace, Menlo, monospace; background: light-dark(hsl(var(--hue) 80% 80%), hsl(var(--hue) 55% 28%)); }
figure { margin: 0 0 1.2rem; } figcaption { display: flex; gap: 1rem; flex-wrap: wrap; } svg { width: 100%; height: 180px; background: var(--tint); border-radius: 6px; margin-top: .3rem; }
polyline { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; } .line-suspended { stroke: var(--warm); color: var(--warm); } .line-unstarted { stroke: var(--soft); color: var(--soft); }
.line-changed { stroke: var(--accent); color: var(--accent); } .line-ended { stroke: var(--good); color: var(--good); }
dialog { border: 1px solid var(--line); border-radius: 10px; background: var(--back); color: var(--front); } kbd { background: var(--tint); border: 1px solid var(--line); border-radius: 4px; padding: 0 .4rem; }
.empty { color: var(--soft); padding: 1rem; }
@media (max-width: 60rem) { #panel { position: absolute; inset: 30% 0 0; background: var(--back); border-left: 0; border-top: 1px solid var(--line); } }
`
