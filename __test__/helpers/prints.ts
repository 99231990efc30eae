// The macro of the specs that run a program and look at what it prints.

import test from 'ava'
import { printed, runProgram } from './program.ts'

/** Makes a macro: the program, which begins with `head`, ends without an error and prints this. */
export function makePrints({ head = '', flags = [] }: { head?: string; flags?: readonly string[] } = {}) {
  return test.macro(async (t, source: string, stdout: string = '', more: readonly string[] = []) => {
    const ending = await runProgram(head + source, { flags: [...flags, ...more] })
    t.deepEqual(ending, printed(stdout))
  })
}
