// The lane that the specs run in. `GREENLETS_LANE=locker` runs them in the other one.

import type { TestFn } from 'ava'

export const LANE = (process.env['GREENLETS_LANE'] ?? 'fast') as 'fast' | 'locker'

/** For tests of what the locker lane has not, for this reason: there they are skipped, and their titles say why. */
export function fastOnly(register: TestFn | TestFn['serial'], reason: string): TestFn['serial'] {
  if (LANE === 'fast') return register as TestFn['serial']
  const skip = register.skip as (title: string, ...rest: unknown[]) => void
  return ((title: string, ...rest: unknown[]) => {
    skip(`${title} (not in the locker lane: ${reason})`, ...rest)
  }) as unknown as TestFn['serial']
}

export const NO_SPILLING = 'V8 finds its own handles there, so stacks are not spilled'
export const NO_SAMPLES = 'V8 samples the thread that started the profiler, and greenlets are others to it'
export const NO_END = 'V8 keeps what it archived for a greenlet, for the next one'
