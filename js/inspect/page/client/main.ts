/** The page: shows what the server's events say, and what the reader looks for in it. */

import type { GreenletData } from '../../../dump/data.ts'
import type { Refresh, SourceLines } from '../../feed.ts'
import { byId, duration, element, grouped } from './dom.ts'
import { drawFlame, treeOf } from './flame.ts'
import { Model } from './model.ts'
import { Rows } from './rows.ts'
import { drawTimeline } from './timeline.ts'

const VIEWS = ['list', 'tree', 'stacks', 'flame', 'timeline'] as const
type View = (typeof VIEWS)[number]

const model = new Model()
const states = new Set<string>()
const collapsed = new Set<number>()
const search = byId<HTMLInputElement>('search')
const panel = byId('panel')
let view: View = 'list'
let selected: number | undefined
let isPaused = false
/** The refresh that came last while the page was paused. */
let held: Refresh[] = []

const list = new Rows<GreenletData>(byId('list-rows'), (greenlet) => rowOf(greenlet, 0))
interface Branch {
  readonly greenlet: GreenletData
  readonly depth: number
  readonly below: number
}
const tree = new Rows<Branch>(byId('tree-rows'), ({ greenlet, depth, below }) => rowOf(greenlet, depth, below))

function rowOf(greenlet: GreenletData, depth: number, below?: number): HTMLElement {
  const { id, name, state, waits, ending } = greenlet
  const title = element('span', { class: 'name', title: name })
  if (below !== undefined) {
    title.style.paddingLeft = `${depth * 18}px`
    const toggle = element(
      'button',
      { class: 'toggle', type: 'button' },
      below === 0 ? '·' : collapsed.has(id) ? '▸' : '▾',
    )
    toggle.setAttribute('aria-label', collapsed.has(id) ? `Show those below ${name}` : `Hide those below ${name}`)
    toggle.disabled = below === 0
    toggle.addEventListener('click', (event) => {
      event.stopPropagation()
      if (!collapsed.delete(id)) collapsed.add(id)
      draw()
    })
    title.append(toggle)
  }
  title.append(name)
  if (below !== undefined && collapsed.has(id)) title.append(element('span', { class: 'soft' }, ` + ${grouped(below)}`))
  const top = model.topOf(greenlet)
  const row = element(
    'div',
    { class: 'row' },
    element('span', { class: 'id' }, `#${id}`),
    title,
    element('span', { class: `state ${state}` }, ending ? 'ending' : state),
    element('span', { class: 'waits', title: waits?.text ?? '' }, waitText(greenlet)),
    element('span', { class: 'since' }, state === 'suspended' && id !== 0 ? since(greenlet) : ''),
    element('span', { class: 'top', title: top }, top),
  )
  row.dataset['id'] = String(id)
  row.setAttribute('role', 'row')
  row.setAttribute('aria-selected', String(id === selected))
  row.addEventListener('click', () => select(id))
  return row
}

/** How long it has been as it is, as far as the page knows: the wait's own time, or since the page has seen a change. */
function since({ id }: GreenletData): string {
  const from = model.changedAt.get(id)
  return from === undefined || model.latest === undefined ? '' : duration(model.latest.time - from)
}

/** What it waits for, with the time that is left now. */
function waitText({ id, waits }: GreenletData): string {
  if (waits === undefined) return ''
  const { text, left } = waits
  const from = model.changedAt.get(id)
  if (left === undefined || from === undefined || model.latest === undefined) return text
  const passed = model.latest.time - from - (waits.since ?? 0)
  return `${text.slice(0, text.lastIndexOf(', '))}, ${duration(left - passed)} left`
}

function select(id: number | undefined): void {
  selected = id
  drawPanel()
  for (const row of document.querySelectorAll<HTMLElement>('.row')) {
    row.setAttribute('aria-selected', String(row.dataset['id'] === String(id)))
  }
}

function draw(): void {
  const { latest } = model
  if (latest === undefined) return
  const { unstarted, suspended } = latest.states
  byId('counts').textContent =
    `${grouped(latest.total)} greenlets: ${grouped(suspended)} suspended, ${grouped(unstarted)} unstarted` +
    (latest.omitted > 0 ? `; the first ${grouped(latest.total - latest.omitted)} are shown` : '')
  byId('process').textContent = `process ${latest.pid}, Node.js ${latest.node}, greenlets ${latest.version}`
  document.title = `${grouped(suspended)} suspended · greenlets`
  const warnings = model.deadlocks.map(({ kind, text, greenlets }) => {
    const button = element('button', { type: 'button', class: 'link' }, 'show')
    button.addEventListener('click', () => select(greenlets[0]))
    return element(
      'p',
      { class: 'bad' },
      element('strong', {}, kind === 'cycle' ? 'Deadlock: ' : 'Abandoned lock: '),
      text,
      ' ',
      button,
    )
  })
  byId('warnings').replaceChildren(...warnings)
  for (const name of VIEWS) {
    byId(`view-${name}`).hidden = name !== view
    byId(`tab-${name}`).setAttribute('aria-selected', String(name === view))
  }
  const found = model.matching(search.value, states)
  byId('found').textContent = search.value === '' && states.size === 0 ? '' : `${grouped(found.length)} found`
  if (view === 'list') list.show(found.toSorted(order))
  else if (view === 'tree') tree.show(branches(found))
  else if (view === 'stacks') drawStacks(found)
  else if (view === 'flame') drawFlame(byId('flame'), treeOf(model, found), (text) => find(text))
  else drawTimeline(byId('timeline'), model.moments)
  drawPanel()
}

let sortBy: 'id' | 'name' | 'state' | 'waits' | 'since' = 'id'
let descending = false

function order(a: GreenletData, b: GreenletData): number {
  const way = descending ? -1 : 1
  const texts = (x: string, y: string): number => (x < y ? -1 : x > y ? 1 : 0)
  let by = 0
  if (sortBy === 'name') by = texts(a.name, b.name)
  else if (sortBy === 'state') by = texts(a.state, b.state)
  else if (sortBy === 'waits') by = texts(a.waits?.text ?? '', b.waits?.text ?? '')
  else if (sortBy === 'since') by = (model.changedAt.get(b.id) ?? Infinity) - (model.changedAt.get(a.id) ?? Infinity)
  return way * (by || a.id - b.id)
}

/** The tree of parents, with those that were found and the ones above them. */
function branches(found: readonly GreenletData[]): Branch[] {
  const shown = new Set<number>()
  for (const greenlet of found) {
    for (let each: GreenletData | undefined = greenlet; each !== undefined && !shown.has(each.id);) {
      shown.add(each.id)
      each = each.parent === null ? undefined : model.greenlets.get(each.parent)
    }
  }
  const children = new Map<number | null, GreenletData[]>()
  for (const id of shown) {
    const greenlet = model.greenlets.get(id)!
    // The parent may have ended, or be beyond the limit.
    const parent = greenlet.parent !== null && shown.has(greenlet.parent) ? greenlet.parent : null
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [greenlet])
    else siblings.push(greenlet)
  }
  const all: Branch[] = []
  // With a list of its own: a chain of parents may be deeper than the browser's stack.
  const open = (children.get(null) ?? []).toReversed().map((greenlet) => ({ greenlet, depth: 0 }))
  while (open.length > 0) {
    const { greenlet, depth } = open.pop()!
    const below = children.get(greenlet.id) ?? []
    all.push({ greenlet, depth, below: below.length })
    if (collapsed.has(greenlet.id)) continue
    for (const child of below.toReversed()) open.push({ greenlet: child, depth: depth + 1 })
  }
  return all
}

const MOST_GROUPS = 200

function drawStacks(found: readonly GreenletData[]): void {
  const box = byId('stacks')
  const opened = new Set(
    [...box.querySelectorAll('details[open]')].map((each) => (each as HTMLElement).dataset['stack']),
  )
  const first = box.childElementCount === 0
  const groups = model.groups(found)
  const parts: HTMLElement[] = groups.slice(0, MOST_GROUPS).map(({ index, stack, greenlets }, place) => {
    const [one] = greenlets
    const button = element('button', { type: 'button', class: 'link' }, `#${one!.id} ${one!.name}`)
    button.addEventListener('click', () => select(one!.id))
    const count = element('strong', { class: 'count' }, grouped(greenlets.length))
    const waits = [...new Set(greenlets.map(({ waits }) => waits?.kind ?? ''))].join(', ')
    const part = element(
      'details',
      { open: first ? place < 3 : opened.has(String(index)) },
      element(
        'summary',
        {},
        count,
        ' ',
        stack.frames.find(({ own }) => !own)?.text ?? stack.problem ?? '',
        element('span', { class: 'soft' }, ` ${waits}`),
      ),
      framesOf(
        stack.frames.map(({ text }) => text),
        stack.omitted,
      ),
      element('p', { class: 'soft' }, greenlets.length === 1 ? 'It is ' : 'For example ', button),
    )
    part.dataset['stack'] = String(index)
    return part
  })
  if (groups.length > MOST_GROUPS)
    parts.push(element('p', { class: 'soft' }, `and ${grouped(groups.length - MOST_GROUPS)} more`))
  if (parts.length === 0) box.replaceChildren(element('p', { class: 'empty' }, 'No stack is found.'))
  else box.replaceChildren(...parts)
}

function framesOf(texts: readonly string[], omitted = 0): HTMLElement {
  return element(
    'ol',
    { class: 'frames' },
    ...texts.map((text) => element('li', {}, text)),
    omitted > 0 ? element('li', { class: 'soft' }, `${omitted} frames are left out`) : undefined,
  )
}

/** What the panel shows, so that a refresh does not close what the reader has opened. */
let panelShows = ''

function drawPanel(): void {
  const greenlet = selected === undefined ? undefined : model.greenlets.get(selected)
  panel.hidden = selected === undefined
  if (selected === undefined) return
  const text =
    greenlet === undefined
      ? `ended ${selected}`
      : JSON.stringify([greenlet.id, greenlet.name, greenlet.state, greenlet.stack, greenlet.waits?.text])
  if (text === panelShows) return
  panelShows = text
  const close = element('button', { type: 'button', class: 'close' }, '×')
  close.setAttribute('aria-label', 'Close')
  close.addEventListener('click', () => select(undefined))
  if (greenlet === undefined) {
    panel.replaceChildren(close, element('p', {}, `Greenlet #${selected} has ended.`))
    return
  }
  const { id, name, state, parent, waits, bytes, spawner, site } = greenlet
  const facts: [string, string | undefined][] = [
    ['State', greenlet.ending ? `${state}, ending: it was killed` : state],
    ['Waits for', waits?.text],
    ['Parent', parent === null ? undefined : `#${parent} ${model.greenlets.get(parent)?.name ?? ''}`],
    ['Made by', spawner === undefined ? undefined : `#${spawner.id} ${spawner.name}`],
    ['Made at', site],
    ['Stack', bytes === undefined ? undefined : `${grouped(bytes)} bytes`],
  ]
  const stack = greenlet.stack === undefined ? undefined : model.stacks.get(greenlet.stack)
  const frames = stack?.frames.map((frame) => {
    const { text, file, line, own } = frame
    if (file === undefined || line === undefined || file.startsWith('node:'))
      return element('li', { class: own ? 'own' : 'soft' }, text)
    const source = element('div', { class: 'source' })
    const part = element('details', {}, element('summary', {}, text), source)
    part.addEventListener('toggle', () => void showSource(source, file, line))
    return element('li', own ? { class: 'own' } : {}, part)
  })
  const parts = [
    close,
    element('h2', {}, `#${id} `, name),
    element(
      'dl',
      {},
      ...facts.flatMap(([key, value]) =>
        value === undefined ? [] : [element('dt', {}, key), element('dd', {}, value)],
      ),
    ),
    stack?.problem === undefined ? undefined : element('p', { class: 'bad' }, stack.problem),
    element('ol', { class: 'frames' }, ...(frames ?? [])),
  ]
  panel.replaceChildren(...parts.filter((part) => part !== undefined))
  // The place that a reader wants to see first.
  const firstOwn =
    frames?.findIndex((frame) => !frame.classList.contains('own') && frame.querySelector('details') !== null) ?? -1
  frames?.[firstOwn]?.querySelector('details')?.setAttribute('open', '')
}

async function showSource(box: HTMLElement, file: string, line: number): Promise<void> {
  if (box.childElementCount > 0) return
  try {
    const response = await fetch(`source?${new URLSearchParams({ file, line: String(line) })}`)
    if (!response.ok) throw new Error(await response.text())
    const { first, lines } = (await response.json()) as SourceLines
    box.replaceChildren(
      ...lines.map((text, i) => {
        const number = element('span', { class: 'number' }, String(first + i))
        return element('div', { class: first + i === line ? 'line here' : 'line' }, number, text)
      }),
    )
  } catch (error) {
    box.replaceChildren(element('div', { class: 'soft' }, `no source: ${(error as Error).message}`))
  }
}

function find(text: string): void {
  search.value = text
  draw()
}

function show(next: View): void {
  view = next
  draw()
}

function pause(): void {
  isPaused = !isPaused
  const button = byId('pause')
  button.textContent = isPaused ? 'Go on' : 'Pause'
  button.setAttribute('aria-pressed', String(isPaused))
  if (!isPaused) {
    for (const refresh of held) model.apply(refresh)
    held = []
    draw()
  }
}

/** Selects the row after or before the selected one. */
function move(by: number): void {
  const rows = view === 'tree' ? tree.items.map(({ greenlet }) => greenlet) : view === 'list' ? list.items : []
  if (rows.length === 0) return
  const at = rows.findIndex(({ id }) => id === selected)
  const next = Math.min(rows.length - 1, Math.max(0, at === -1 ? 0 : at + by))
  const shown = view === 'tree' ? tree : list
  shown.reveal(next)
  shown.draw()
  select(rows[next]!.id)
}

const KEYS: Readonly<Record<string, () => void>> = {
  '1': () => show('list'),
  '2': () => show('tree'),
  '3': () => show('stacks'),
  '4': () => show('flame'),
  '5': () => show('timeline'),
  '/': () => search.focus(),
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  p: pause,
  d: () => byId('download').click(),
  '?': () => byId<HTMLDialogElement>('help').showModal(),
  Escape: () => select(undefined),
}

document.addEventListener('keydown', (event) => {
  const { key, ctrlKey, metaKey, altKey } = event
  if (ctrlKey || metaKey || altKey || byId<HTMLDialogElement>('help').open) return
  if (event.target === search) {
    if (key !== 'Escape') return
    search.blur()
    return find('')
  }
  const act = KEYS[key]
  if (act === undefined) return
  event.preventDefault()
  act()
})
for (const name of VIEWS) byId(`tab-${name}`).addEventListener('click', () => show(name))
for (const head of document.querySelectorAll<HTMLElement>('[data-sort]')) {
  head.addEventListener('click', () => {
    const by = head.dataset['sort'] as typeof sortBy
    descending = sortBy === by && !descending
    sortBy = by
    for (const other of document.querySelectorAll('[data-sort]')) other.removeAttribute('aria-sort')
    head.setAttribute('aria-sort', descending ? 'descending' : 'ascending')
    draw()
  })
}
for (const box of document.querySelectorAll<HTMLInputElement>('[data-state]')) {
  box.addEventListener('change', () => {
    const state = box.dataset['state']!
    if (box.checked) states.add(state)
    else states.delete(state)
    draw()
  })
}
search.addEventListener('input', draw)
byId('pause').addEventListener('click', pause)
byId('help-button').addEventListener('click', () => byId<HTMLDialogElement>('help').showModal())
addEventListener('resize', () => draw())

const events = new EventSource('events')
events.addEventListener('refresh', ({ data }) => {
  const refresh = JSON.parse(data as string) as Refresh
  document.body.dataset['connected'] = 'true'
  byId('connection').textContent = ''
  if (isPaused) {
    if (refresh.whole) held = []
    held.push(refresh)
    return
  }
  model.apply(refresh)
  draw()
})
events.addEventListener('error', () => {
  document.body.dataset['connected'] = 'false'
  byId('connection').textContent = 'not connected: the process has ended, is blocked, or the token has changed'
})
