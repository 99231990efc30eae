// Compares the text of a stack with that of an error that was made at the same place. The loader of this file moves lines: it removes
// the types.

import { Greenlet } from 'greenlets'

interface Row {
  readonly id: number
}

/** The line of this file on which the greenlet is suspended. */
const LINE: number = 19

let error: string = ''

class Job {
  readonly name: string = 'job'
  acquire(row: Row): unknown {
    // prettier-ignore
    return Greenlet.main.switch(((error = new Error('here').stack!), row))
  }
}

function load<T extends Row>(rows: readonly T[]): unknown {
  const job: Job = new Job()
  return rows.map((row): unknown => job.acquire(row))
}

/** The places of the innermost four frames, without the columns of the first, which differ. */
function placesOf(text: string): string {
  const lines: string[] = text.split('\n').filter((line) => line.startsWith('    at '))
  return [lines[0]!.replace(/:\d+(?=\)?$)/, ''), ...lines.slice(1, 4)].join('\n')
}

/** Undefined where all is as it should be. */
export function compare(): string | undefined {
  const g = new Greenlet((rows: readonly Row[]): unknown => load(rows))
  g.switch([{ id: 1 }])
  const stack = g.gr_stack
  const { original, mapProblem } = stack[0]!
  const copy = stack.detach()
  const text: string = String(stack)
  g.kill()
  if (placesOf(text) !== placesOf(error)) return `gr_stack has\n${text}\nand an error has\n${error}`
  if (!placesOf(text).includes(`where.ts:${LINE})\n`)) return `not line ${LINE} in\n${text}`
  if (String(copy) !== text) return `the copy has\n${String(copy)}\nand not\n${text}`
  if (mapProblem !== null) return mapProblem
  // Where Node.js removes the types itself, the positions are those of the source, and there is no map.
  if (original !== null && original.lineNumber !== LINE) return `original is ${JSON.stringify(original)}`
  return undefined
}
