/**
 * The printer of dumps as a page: one file that needs nothing else, and in which all texts of the program are only text.
 */

import { createHash } from 'node:crypto'
import type { DumpData, GreenletData, StackData, ThreadData } from './data.ts'
import { byStack, countsOf, framesOf, lineOf, titleOf } from './text.ts'

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #d33; }
body { font: 14px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 100rem; padding: 1rem 1.5rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
pre, td, code { font-family: ui-monospace, monospace; font-size: 12.5px; }
pre { background: var(--soft); margin: .5rem 0; overflow-x: auto; padding: .6rem .8rem; white-space: pre-wrap; word-break: break-all; }
.bad { border-left: 4px solid var(--bad); padding: .4rem .8rem; background: var(--soft); }
table { border-collapse: collapse; width: 100%; } th { text-align: left; }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .6rem .25rem 0; vertical-align: top; word-break: break-word; }
td.n { text-align: right; padding-right: 1rem; }
input { font: inherit; padding: .3rem .5rem; width: min(30rem, 100%); }
summary { cursor: pointer; } [hidden] { display: none; }
`

/** Without it the page shows everything. */
const SCRIPT = `
const search = document.querySelector('input');
search.parentElement.hidden = false;
search.addEventListener('input', () => {
  const wanted = search.value.toLowerCase();
  for (const part of document.querySelectorAll('[data-find]')) part.hidden = !part.textContent.toLowerCase().includes(wanted);
});
`

/** A page with a table, the stacks and a search. */
export function htmlOf(data: DumpData): string {
  const hash = createHash('sha256').update(SCRIPT).digest('base64')
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'`
  const head = `greenlets ${data.greenlets}, Node.js ${data.node}, process ${data.pid}, ${data.time}`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width">
<title>greenlets of process ${data.pid}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Greenlets of process ${data.pid}</h1>
<p>${escape(head)}</p>
<p hidden><input type="search" placeholder="Search" aria-label="Search"></p>
${data.threads.map(sectionOf).join('\n')}
<script>${SCRIPT}</script>
</body>
</html>
`
}

function sectionOf(thread: ThreadData): string {
  const title = `<h2>${escape(titleOf(thread))}</h2>`
  if (thread.problem !== undefined) return `${title}<p class="bad">${escape(thread.problem)}</p>`
  const { deadlocks, greenlets, stacks, running, runningStack } = thread
  const warnings = deadlocks.map(({ kind, text }) => {
    return `<p class="bad"><strong>${kind === 'cycle' ? 'Deadlock' : 'Abandoned lock'}:</strong> ${escape(text)}</p>`
  })
  const runner = greenlets.find(({ id }) => id === running)
  const hog =
    runningStack === undefined || runner === undefined ? '' : stackOf({ count: 1, frames: runningStack }, [runner])
  return `${title}
<p>${escape(countsOf(thread))}</p>
${warnings.join('\n')}
<h3>Stacks</h3>
${hog}${byStack(greenlets)
    .map(([index, sharing]) => stackOf(stacks[index]!, sharing))
    .join('\n')}
<h3>Greenlets</h3>
<table><thead><tr><th>Id<th>Parent<th>State<th>Waits for<th>Name<th>Made</tr></thead><tbody>
${greenlets.map(rowOf).join('\n')}
</tbody></table>`
}

function stackOf(stack: StackData, sharing: readonly GreenletData[]): string {
  const title =
    sharing.length === 1 ? lineOf(sharing[0]!) : `${sharing.length} greenlets, such as ${lineOf(sharing[0]!)}`
  return `<details open data-find><summary>${escape(title)}</summary><pre>${escape(framesOf(stack))}</pre></details>`
}

function rowOf({ id, parent, state, waits, name, ending, spawner, site }: GreenletData): string {
  const made =
    spawner === undefined ? '' : `by '${spawner.name}' (#${spawner.id})${site === undefined ? '' : ` at ${site}`}`
  const cells = [ending ? `${state}, ending` : state, waits?.text ?? '', name, made].map(
    (text) => `<td>${escape(text)}</td>`,
  )
  return `<tr data-find><td class="n">${id}</td><td class="n">${parent ?? ''}</td>${cells.join('')}</tr>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character]!)
}
