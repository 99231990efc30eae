// Native tells a dump which suspended stacks have the same frames, so that V8 need not make the frames of each.

import { setFlagsFromString } from 'node:v8'
import vm from 'node:vm'
import test from 'ava'
import { thread } from '../js/core/thread.ts'
import { dump, type DumpData } from '../js/dump.ts'
import { recordOf } from '../js/greenlet/greenlet.ts'
import { Greenlet, runtimeInfo } from '../js/index.ts'
import type { Native } from '../js/native/contract.ts'
import { collect, scavenge } from './helpers/collect.ts'

// Before native is asked first: it is read then.
const { main } = Greenlet
const park = (): unknown => main.switch()

/** Starts a greenlet that parks in `run`. */
function parked(run: () => unknown): Greenlet {
  const greenlet = new Greenlet(run)
  greenlet.switch()
  return greenlet
}

function endAll(): void {
  for (const greenlet of Greenlet.all()) if (greenlet !== main) greenlet.kill()
}

/** Calls `act` while native's functions are replaced. */
function withNative<T>(replaced: Partial<Native>, act: () => T): T {
  const { native } = thread
  thread.native = { ...native, ...replaced }
  try {
    return act()
  } finally {
    thread.native = native
  }
}

/** What a dump says of each greenlet's stack, by its text. */
function stacksOf({ threads }: DumpData): unknown {
  const { greenlets, stacks } = threads[0]!
  const textOf = (stack: number | undefined): unknown =>
    stack !== undefined && stacks[stack]!.frames.map(({ text }) => text)
  return [greenlets.map(({ id, stack }) => [id, textOf(stack)]), stacks.map(({ count }) => count)]
}

/** How often V8 makes the frames of a stack while `act` runs, and how often native gives a number. */
function counted(act: () => unknown): { captures: number; numbers: number } {
  const { native } = thread
  const counts = { captures: 0, numbers: 0 }
  const capture = (): Error | undefined => (counts.captures++, native.capture())
  const framesNumber = (): number => {
    const number = native.framesNumber()
    if (number !== 0) counts.numbers++
    return number
  }
  withNative({ capture, framesNumber }, act)
  return counts
}

/** The same dump without native's numbers. */
const plainDump = (): DumpData => withNative({ framesNumber: () => 0 }, () => dump().toJSON())

const isFast = runtimeInfo().lane === 'fast'

/** Calls `fn` until V8 has compiled it, which it does in other threads. */
function compiled(fn: (n: number, last: () => unknown) => unknown): (last: () => unknown) => unknown {
  for (let i = 0; i < 20_000; i++) fn(3, () => 0)
  return (last) => fn(3, last)
}

const optimised = compiled(function deep(n: number, last: () => unknown): unknown {
  return n === 0 ? last() : [n].map(() => deep(n - 1, last))
})

class Shape {
  readonly #last: () => unknown
  constructor(last: () => unknown) {
    this.#last = last
  }
  get area(): unknown {
    return this.#last()
  }
  static made(last: () => unknown): unknown {
    return new (class extends Shape {
      constructor() {
        super(last)
        last()
      }
    })()
  }
}

/** Ways to be suspended; each greenlet of one way gets closures of its own. */
const WAYS: readonly ((n: number) => unknown)[] = [
  () => park(),
  () => [1].forEach(() => park()),
  () =>
    [1].forEach(function other() {
      park()
    }),
  () => [2, 1].sort(() => (park(), 0)),
  () => JSON.parse('[1]', () => park()),
  () => 'a'.replace(/a/, () => (park(), '')),
  () => new Shape(park).area,
  () => Shape.made(park),
  () =>
    Reflect.construct(
      class {
        constructor() {
          park()
        }
      },
      [],
    ),
  () => Reflect.apply(park, null, []),
  () => new Proxy({} as { a?: unknown }, { get: () => park() }).a,
  () => [
    ...(function* () {
      yield park()
    })(),
  ],
  () =>
    void (async () => {
      park()
    })(),
  () => vm.runInThisContext('(park) => park()')(park),
  () => new Function('park', 'park()')(park),
  () => optimised(park),
  () => optimised(() => [1].some(() => park())),
  // The same functions at different positions, and at different depths.
  (n) => {
    if (n & 1) park()
    else park()
  },
  (n) => {
    for (let i = 0; i < 1; i++) {
      if (n % 3 === 0) park()
      else if (n % 3 === 1) park()
      else (() => park())()
    }
  },
  (n) =>
    (function down(left: number): unknown {
      return left === 0 ? park() : down(left - 1)
    })(n % 5),
  (n) =>
    [
      park,
      () => park(),
      function third() {
        park()
      },
    ][n % 3]!(),
]

for (const [name, flags] of [
  ['as the program runs', []],
  ['with code that is only interpreted', ['--max-lazy', '--no-sparkplug', '--no-opt']],
  ['with baseline code', ['--always-sparkplug']],
] as const) {
  test.serial(`the stacks of a dump are the same as without native's numbers: ${name}`, (t) => {
    for (const flag of flags) setFlagsFromString(flag)
    for (let n = 0; n < 600; n++) {
      const way = WAYS[n % WAYS.length]!
      parked(() => way(Math.floor(n / WAYS.length)))
      // Now and then code and objects move.
      if (n % 100 === 99) scavenge()
    }
    t.deepEqual(stacksOf(dump().toJSON()), stacksOf(plainDump()))
    endAll()
    for (const flag of flags.filter((flag) => flag.startsWith('--no-'))) setFlagsFromString(flag.replace('--no-', '--'))
  })
}

test.serial('V8 makes the frames of few of many stacks that are the same', async (t) => {
  const greenlets = Array.from({ length: 1000 }, (_, n) => parked(() => (n % 2 === 0 ? [1].map(() => park()) : park())))
  const { captures, numbers } = counted(() => dump().toJSON())
  if (isFast) {
    t.is(numbers, 1000)
    t.true(captures < 60, `${captures} captures`)
  } else {
    t.is(numbers, 0)
  }
  // A spilled stack is read in its copy, and a collection makes the numbers invalid.
  await collect()
  t.deepEqual(stacksOf(dump().toJSON()), stacksOf(plainDump()))
  t.is(greenlets.length, 1000)
  endAll()
})

test.serial('a stack on which C++ has called JavaScript has no number', (t) => {
  parked(() => JSON.parse('[1]', () => park()))
  t.is(counted(() => dump().toJSON()).numbers, 0)
  endAll()
})

test.serial('scripts with the same name, and functions with the same text, are told apart', (t) => {
  const load = (text: string, lineOffset = 0) =>
    vm.runInThisContext(text, { filename: 'job.js', lineOffset }) as (park: () => unknown) => unknown
  const made = [
    load('(park) => {    park() }'),
    load('(park) => {\n\n\n\npark() }'),
    load('(park) => {    park() }', 7),
    new Function('park', 'park()') as (park: () => unknown) => unknown,
    new Function('park', 'park()') as (park: () => unknown) => unknown,
  ]
  const greenlets = [...made, ...made].map((fn) => parked(() => fn(park)))
  for (const all of [[new Map([[1, 1]]), new Set([1])], [[1]]].flat())
    greenlets.push(parked(() => all.forEach(() => park())))
  const { greenlets: shown, stacks } = dump().toJSON().threads[0]!
  for (const greenlet of greenlets) {
    const { stack } = shown.find(({ id }) => id === recordOf(greenlet).serial)!
    t.deepEqual(
      stacks[stack!]!.frames.map(({ text }) => text),
      greenlet.gr_stack.map(String),
    )
  }
  t.is(isFast, counted(() => dump().toJSON()).numbers > 0, 'native is still asked')
  endAll()
})

test.serial('native is not asked any more once it was wrong', (t) => {
  parked(() => park())
  parked(() => [1].map(() => park()))
  const wrong = withNative({ framesNumber: () => 1 }, () => dump().toJSON())
  t.deepEqual(stacksOf(wrong), stacksOf(plainDump()))
  t.is(counted(() => dump().toJSON()).numbers, 0)
  endAll()
})
