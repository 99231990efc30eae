/**
 * Compares the model with Python's greenlet, by hand: `node --import=@oxc-node/core/register __test__/property/python.ts
 * [--trace] [programs] [seed]`, on a machine on which python3 has greenlet. `kill()` and snapshots are our own; the rest must
 * be equal. With --trace it compares real greenlets, with the calls of their trace functions.
 */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { runModel } from './model.ts'
import { runTracing } from './real.ts'
import { type Block, type Instruction, type Program, printed, programs } from './program.ts'

const TRACE = '--trace'
const tracing = process.argv.includes(TRACE)
const [runs = 500, seed = Math.trunc(Math.random() * 2 ** 31)] = process.argv
  .slice(2)
  .filter((arg) => arg !== TRACE)
  .map(Number)

/** Replaces a kill by a throw, and all kinds of V8 frames by the one of Python. */
function forPython({ bodies }: Program): Program {
  return { bodies: bodies.map(translated) }
}

function translated(block: Block): Block {
  return block.map((it): Instruction => {
    if (it.op === 'kill') return { op: 'throw', to: it.to, what: null }
    if (it.op === 'call') return { ...it, block: translated(it.block) }
    if (it.op !== 'try') return it
    const [handler, last] = [it.catch, it.finally].map((block) => block && translated(block))
    return { ...it, block: translated(it.block), catch: handler!, finally: last! }
  })
}

/** A line of the model without the parts that Python does not record. */
function comparable(line: string): string {
  return line
    .replace(/^(g\d+ now .*) [01]*$/, '$1')
    .replace(
      / sees (\S+) \S+ \[(.*)\] of .*$/,
      (_, dead: string, names: string) => ` sees ${dead} [${names.replaceAll(/in\w+/g, 'call')}]`,
    )
}

const all = fc.sample(programs, { seed, numRuns: runs }).map(forPython)
const { stdout, stderr, status } = spawnSync(
  'python3',
  [join(import.meta.dirname, 'python.py'), ...(tracing ? [TRACE] : [])],
  {
    input: all.map((program) => JSON.stringify(program)).join('\n'),
    maxBuffer: 2 ** 30,
    encoding: 'utf8',
  },
)
if (status !== 0) throw new Error(stderr)
const recorded = stdout
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as string[])

/**
 * A GreenletExit that continues as a value starts an unstarted parent with itself as the argument. Python intends that too, but
 * `g_handle_exit` (TGreenlet.cpp, greenlet 3.5.6) does not put it into a tuple, and PyObject_Call reads it as a tuple.
 */
const MISREAD = /starts with \((?:x|ERR_GREENLET_EXIT)/

let [lines, different, misread] = [0, 0, 0]
for (const [i, program] of all.entries()) {
  const [python, model] = [recorded[i]!, (tracing ? runTracing : runModel)(program).map(comparable)]
  if (model.some((line) => MISREAD.test(line))) {
    misread++
    continue
  }
  lines += python.length
  const at = python.findIndex((line, j) => line !== model[j])
  if (at === -1 && python.length === model.length) continue
  if (different++ > 2) continue
  console.log(
    `${printed(program)}\n${python.slice(Math.max(0, at - 5), at).join('\n')}\npython ${python[at]}\nmodel  ${model[at]}`,
  )
}
console.log(`seed ${seed}: ${different} of ${runs} programs differ, ${lines} lines compared; ${misread} left out`)
