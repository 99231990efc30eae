// The lane in which the specs run. `GREENLETS_LANE=locker` selects the other one.

import type { TestFn } from 'ava'

export const LANE = (process.env['GREENLETS_LANE'] ?? 'fast') as 'fast' | 'locker'

/** For tests of features that the locker lane lacks: the locker lane skips them, and their titles give the reason. */
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
