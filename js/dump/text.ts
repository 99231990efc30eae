/**
 * The printers of dumps for terminals and logs: `text` with all stacks, `tree` by parent or by the greenlet that has made each,
 * and `list`, a table. They only read the data, in which names are safe to print.
 */

import type { DumpData, FrameLine, GreenletData, StackData, ThreadData } from './data.ts'

/** So many names of greenlets with the same stack are listed. */
const MOST_NAMES = 10

/** All greenlets, those with the same stack together, with their stacks. */
export function textOf(data: DumpData): string {
  return pageOf(data, (thread) => [...problemsOf(thread), ...groupsOf(thread)].join('\n\n'))
}

/** A tree. Greenlets of which the parent is not shown are at its root. */
export function treeOf(data: DumpData, by: 'parent' | 'spawner' = 'parent'): string {
  return pageOf(data, (thread) => [...problemsOf(thread), branches(thread, by)].join('\n\n'))
}

/** A table with a line for each greenlet. */
export function listOf(data: DumpData): string {
  return pageOf(data, (thread) => [...problemsOf(thread), table(thread)].join('\n\n'))
}

function pageOf(data: DumpData, body: (thread: ThreadData) => string): string {
  const head = `greenlets ${data.greenlets}, Node.js ${data.node}, process ${data.pid}, ${data.time}`
  const parts = data.threads.map((thread) => {
    if (thread.problem !== undefined) return `${titleOf(thread)}: ${thread.problem}`
    return `${titleOf(thread)}: ${countsOf(thread)}\n\n${body(thread)}`
  })
  return `${[head, ...parts].join('\n\n')}\n`
}

/** What a thread is called. */
export function titleOf({ threadId, title }: ThreadData): string {
  if (threadId === 0) return 'main thread'
  return title === undefined ? `Worker ${threadId}` : `Worker ${threadId} (${title})`
}

/** How many greenlets there are, and how many of them are not shown. */
export function countsOf({ total, states, omitted }: ThreadData): string {
  const counts = Object.entries(states).filter(([, count]) => count > 0)
  const detail = counts.map(([state, count]) => `${count} ${state}`).join(', ')
  const more = omitted > 0 ? `; ${omitted} of them are left out (limit)` : ''
  return `${total} ${total === 1 ? 'greenlet' : 'greenlets'}: ${detail}${more}`
}

function problemsOf({ deadlocks }: ThreadData): string[] {
  const lines = deadlocks.map(({ kind, text }) => (kind === 'cycle' ? `DEADLOCK: ${text}` : `ABANDONED LOCK: ${text}`))
  return lines.length === 0 ? [] : [lines.join('\n')]
}

/** A greenlet in one line, without its stack. */
export function lineOf(greenlet: GreenletData, parent = true): string {
  const parts = [`${quote(greenlet)} ${stateOf(greenlet)}`]
  if (parent && greenlet.parent !== null && greenlet.parent !== 0) parts.push(`parent #${greenlet.parent}`)
  const { site, spawner } = greenlet
  if (spawner !== undefined) {
    parts.push(`made by '${spawner.name}' (#${spawner.id})${site === undefined ? '' : ` at ${site}`}`)
  }
  return parts.join(', ')
}

export function quote({ name, id }: GreenletData): string {
  return `'${name}' (#${id})`
}

/** What it does and waits for. */
export function stateOf({ state, waits, ending }: GreenletData): string {
  const wait = waits === undefined ? '' : `, waits for ${waits.text}`
  const since = waits?.since === undefined || waits.kind === 'timer' ? '' : `, for ${waits.since} ms`
  return `${state}${ending ? ', ending' : ''}${wait}${since}`
}

function groupsOf(thread: ThreadData): string[] {
  const { greenlets, stacks, running, runningStack } = thread
  const lines: string[] = []
  for (const greenlet of greenlets) {
    if (greenlet.stack !== undefined) continue
    const frames = greenlet.id === running ? runningStack : undefined
    lines.push(frames === undefined ? lineOf(greenlet) : `${lineOf(greenlet)}\n${framesOf({ count: 1, frames })}`)
  }
  for (const [index, sharing] of byStack(greenlets)) {
    lines.push(`${sharing.length === 1 ? lineOf(sharing[0]!) : together(sharing)}\n${framesOf(stacks[index]!)}`)
  }
  return lines
}

/** The greenlets that have each stack, by its number: the most shared stack first. */
export function byStack(greenlets: readonly GreenletData[]): [number, GreenletData[]][] {
  const all = new Map<number, GreenletData[]>()
  for (const greenlet of greenlets) {
    if (greenlet.stack === undefined) continue
    const sharing = all.get(greenlet.stack)
    if (sharing === undefined) all.set(greenlet.stack, [greenlet])
    else sharing.push(greenlet)
  }
  return [...all].toSorted(([, a], [, b]) => b.length - a.length)
}

function together(greenlets: readonly GreenletData[]): string {
  const shown = greenlets.slice(0, MOST_NAMES).map((greenlet) => `  ${lineOf(greenlet)}`)
  const more = greenlets.length - shown.length
  if (more > 0) shown.push(`  and ${more} more`)
  return `${greenlets.length} greenlets with the same stack:\n${shown.join('\n')}`
}

/** The lines of a stack. */
export function framesOf({ frames, omitted, problem }: StackData): string {
  if (problem !== undefined) return `    (${problem})`
  const lines = frames.map(({ text }) => `    at ${text}`)
  if (omitted !== undefined) lines.splice(-Math.min(10, frames.length >> 1), 0, `    ... ${omitted} more frames ...`)
  return lines.join('\n')
}

function branches({ greenlets, stacks }: ThreadData, by: 'parent' | 'spawner'): string {
  const above = (greenlet: GreenletData): number | null =>
    by === 'parent' ? greenlet.parent : (greenlet.spawner?.id ?? (greenlet.id === 0 ? null : 0))
  const ids = new Set(greenlets.map(({ id }) => id))
  const children = new Map<number | null, GreenletData[]>()
  for (const greenlet of greenlets) {
    const parent = above(greenlet)
    const key = parent !== null && ids.has(parent) ? parent : null
    const list = children.get(key)
    if (list === undefined) children.set(key, [greenlet])
    else list.push(greenlet)
  }
  const lines: string[] = []
  // Without recursion: a chain of parents can be long.
  const left: { greenlet: GreenletData; indent: string; last: boolean; root: boolean }[] = []
  const add = (list: readonly GreenletData[], indent: string, root: boolean): void => {
    for (const [i, greenlet] of [...list.entries()].toReversed()) {
      left.push({ greenlet, indent, last: i === list.length - 1, root })
    }
  }
  add(children.get(null) ?? [], '', true)
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { greenlet, indent, last, root } = next
    const place = placeOf(greenlet, stacks)
    const branch = root ? '' : last ? '└─ ' : '├─ '
    lines.push(
      `${indent}${branch}${quote(greenlet)} ${stateOf(greenlet)}${place === undefined ? '' : `, at ${place.text}`}`,
    )
    // A deep tree is not worth a long line.
    const deeper = root ? '' : indent.length > 60 ? indent : `${indent}${last ? '   ' : '│  '}`
    add(children.get(greenlet.id) ?? [], deeper, false)
  }
  return lines.join('\n')
}

/** The innermost frame of the program. */
export function placeOf({ stack }: GreenletData, stacks: readonly StackData[]): FrameLine | undefined {
  const frames = stack === undefined ? [] : stacks[stack]!.frames
  return frames.find(({ file, own }) => file !== undefined && own === undefined) ?? frames[0]
}

function table({ greenlets, stacks }: ThreadData): string {
  const rows = greenlets.map((greenlet) => {
    const { id, state, waits, name, parent } = greenlet
    const place = placeOf(greenlet, stacks)?.text ?? ''
    return [`${id}`, parent === null ? '' : `${parent}`, state, waits?.text ?? '', name, place]
  })
  const all = [['ID', 'PARENT', 'STATE', 'WAITS FOR', 'NAME', 'AT'], ...rows]
  // Not by a spread: there may be many rows.
  const widths = all[0]!.map((_, column) =>
    all.reduce((widest, row) => Math.max(widest, Math.min(row[column]!.length, 50)), 0),
  )
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(column < 5 ? widths[column]! : 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
