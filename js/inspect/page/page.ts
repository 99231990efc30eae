/** The page as HTML: one document that needs nothing else. Its script and style are allowed by their hashes. */

import { createHash } from 'node:crypto'
import { CLIENT } from './client.text.ts'
import { STYLE } from './style.ts'

const tab = (name: string, title: string, key: number): string =>
  `<button type="button" role="tab" id="tab-${name}" aria-controls="view-${name}" title="Key ${key}">${title}</button>`

const table = (
  name: string,
  title: string,
): string => `<section class="view" id="view-${name}" role="tabpanel" aria-labelledby="tab-${name}" hidden>
<div class="heads" role="row"><button type="button" data-sort="id" aria-sort="ascending">Id</button><button type="button" data-sort="name">Name</button><button
 type="button" data-sort="state">State</button><button type="button" data-sort="waits">Waits for</button><button type="button" data-sort="since">Since</button><button type="button" disabled>Innermost function</button></div>
<div class="rows" id="${name}-rows" role="table" aria-label="${title}"></div></section>`

const BODY = `<header><h1>Greenlets</h1><span id="counts">Connecting …</span><span class="soft" id="process"></span><span id="connection" role="status"></span></header>
<div class="bar"><div class="tabs" role="tablist">${tab('list', 'List', 1)}${tab('tree', 'Tree', 2)}${tab('stacks', 'Stacks', 3)}${tab('flame', 'Flame', 4)}${tab('timeline', 'Timeline', 5)}</div>
<input type="search" id="search" placeholder="Search names, waits and frames ( / )" aria-label="Search">
<label><input type="checkbox" data-state="suspended">suspended</label><label><input type="checkbox" data-state="unstarted">unstarted</label><span class="soft" id="found" role="status"></span>
<button type="button" id="pause" aria-pressed="false">Pause</button><a id="download" href="dump.json" download="greenlets.json">JSON</a><button type="button" id="help-button" aria-label="Help">?</button></div>
<div id="warnings" role="alert"></div>
<main>${table('list', 'All greenlets')}
${table('tree', 'Greenlets below their parents')}
<section class="view" id="view-stacks" role="tabpanel" aria-labelledby="tab-stacks" hidden><div id="stacks"></div></section>
<section class="view" id="view-flame" role="tabpanel" aria-labelledby="tab-flame" hidden><div id="flame"></div></section>
<section class="view" id="view-timeline" role="tabpanel" aria-labelledby="tab-timeline" hidden><div id="timeline"></div></section>
<aside id="panel" aria-label="The selected greenlet" hidden></aside></main>
<dialog id="help"><h2>Keys</h2><p><kbd>1</kbd> to <kbd>5</kbd> views · <kbd>/</kbd> search · <kbd>j</kbd> <kbd>k</kbd> next and previous · <kbd>p</kbd> pause ·
<kbd>d</kbd> download · <kbd>Esc</kbd> close</p><p class="soft">In the flame view, a click makes a frame as wide as the picture; with Alt it searches for it.</p>
<form method="dialog"><button>Close</button></form></dialog>`

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** The headers of the page. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; script-src ${hashOf(CLIENT)}; style-src ${hashOf(STYLE)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
}

export const PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>greenlets</title><style>${STYLE}</style></head>
<body>${BODY}<script>${CLIENT}</script></body></html>
`
