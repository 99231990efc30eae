/** `greenlets top`: a summary of a process, again and again. */

import type { DumpData, ThreadData } from '../dump/data.ts'
import { countsOf, placeOf, stateOf, titleOf } from '../dump/text.ts'

const MOST_STACKS = 15

/** What most greenlets of a process are doing: one line for each place, the most frequent ones first. */
export function summaryOf({ pid, time, threads }: DumpData): string {
  return `process ${pid}, ${time}\n\n${threads.map(threadSummary).join('\n')}`
}

function threadSummary(thread: ThreadData): string {
  if (thread.problem !== undefined) return `${titleOf(thread)}: ${thread.problem}\n`
  const lines = [`${titleOf(thread)}: ${countsOf(thread)}`]
  const { greenlets, stacks, deadlocks, running } = thread
  for (const { text } of deadlocks) lines.push(`DEADLOCK: ${text}`)
  const runner = greenlets.find(({ id }) => id === running)
  if (runner !== undefined && running !== 0) {
    lines.push(
      `running: '${runner.name}' (#${running})${thread.runningStack === undefined ? '' : ` at ${thread.runningStack[0]!.text}`}`,
    )
  }
  const counts = new Map<string, number>()
  for (const greenlet of greenlets) {
    if (greenlet.state !== 'suspended' || greenlet.id === 0) continue
    const { kind } = greenlet.waits ?? { kind: stateOf(greenlet) }
    const key = `${kind.padEnd(11)}  ${placeOf(greenlet, stacks)?.text ?? ''}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  const sorted = [...counts].toSorted(([, a], [, b]) => b - a)
  lines.push('', '  COUNT  WAITS FOR    AT')
  for (const [key, count] of sorted.slice(0, MOST_STACKS)) lines.push(`${`${count}`.padStart(7)}  ${key}`)
  if (sorted.length > MOST_STACKS) lines.push(`         and ${sorted.length - MOST_STACKS} more places`)
  return `${lines.join('\n')}\n`
}
