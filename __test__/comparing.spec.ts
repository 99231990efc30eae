import assert from 'node:assert'
import { inspect, isDeepStrictEqual } from 'node:util'
import test from 'ava'
import { Greenlet, spawn, StaleFrameError } from '../js/index.ts'

const { main } = Greenlet

function park(): unknown {
  return main.switch()
}

function parkedIn(run: () => unknown): Greenlet {
  const g = new Greenlet(run)
  g.switch()
  return g
}

const a = parkedIn(function outerA() {
  park()
})
const b = parkedIn(function outerB() {
  park()
})

const differ: readonly (readonly [string, unknown, unknown])[] = [
  ['stacks', a.gr_stack, b.gr_stack],
  ['stacks of different lengths', a.gr_stack, [...a.gr_stack].slice(0, 1)],
  ['frames', a.gr_frame, a.gr_frame!.f_back],
  ['frames in arrays', [a.gr_frame], [b.gr_stack[1]]],
  ['built-in frames', builtIn((f) => [1].map(f)), builtIn((f) => new Set([1]).forEach(f))],
  ['detached stacks', a.gr_stack.detach(), b.gr_stack.detach()],
  ['greenlets', a, b],
  ['greenlets that were not started', new Greenlet(park), new Greenlet(park)],
  ['a greenlet and main', a, main],
  ['spawned greenlets', spawn(park), spawn(park)],
  ['objects with greenlets', { g: a }, { g: b }],
]

function builtIn(call: (fn: () => unknown) => unknown): unknown {
  const g = parkedIn(() => call(park))
  return g.gr_stack.filter((frame) => frame.isNative)
}

for (const [what, x, y] of differ) {
  test.serial(`comparisons tell ${what} apart`, (t) => {
    t.false(isDeepStrictEqual(x, y))
    // oxlint-disable-next-line no-deprecated -- programs use it
    assert.notDeepEqual(x, y)
    assert.notDeepStrictEqual(x, y)
    t.notDeepEqual(x, y)
  })
}

test('a stack, a frame and a greenlet are equal to themselves, also read twice', (t) => {
  t.deepEqual(a.gr_stack, a.gr_stack)
  assert.deepStrictEqual(a.gr_stack.detach(), a.gr_stack.detach())
  assert.deepStrictEqual([a, b], [a, b])
  const [x, y] = [1, 2].map(() => parkedIn(() => park()))
  assert.deepStrictEqual(x!.gr_stack, y!.gr_stack)
})

test('the message of a failing assertion names the functions', (t) => {
  for (const actual of [a.gr_stack, a.gr_stack[1]]) {
    const { message } = t.throws(() => assert.deepStrictEqual(actual, []), { instanceOf: assert.AssertionError })
    t.regex(message, /outerA/)
  }
})

/** As vitest copies what it compares, before it prints a difference: the prototype, and own properties as values. */
function copyOf(value: object): object {
  const copy: object = Object.create(Object.getPrototypeOf(value))
  for (const key of Reflect.ownKeys(value)) {
    const descriptor = Object.getOwnPropertyDescriptor(value, key)!
    const read: unknown = Reflect.get(value, key)
    Object.defineProperty(
      copy,
      key,
      'get' in descriptor ? { ...descriptor, get: () => read } : { ...descriptor, value: read },
    )
  }
  return copy
}

for (const [what, value, expected] of [
  ['frame', a.gr_stack[1]!, /outerA/],
  ['detached frame', a.gr_stack.detach()[1]!, /outerA/],
  ['greenlet', a, /serial|copy/],
] as const) {
  test(`a copy of a ${what} with the same prototype can be printed`, (t) => {
    const copy = copyOf(value) as typeof value
    t.regex(inspect(copy), expected)
    t.regex(inspect(copy, { customInspect: false, getters: true }), /outerA|serial/)
    t.regex(JSON.stringify(copy), /outerA|serial/)
    if (what !== 'greenlet') t.regex(String(copy), /outerA/)
  })
}

test('own properties of a stale frame throw, printing it does not', (t) => {
  const g = parkedIn(() => (park(), park()))
  const frame = g.gr_frame!
  g.switch()
  t.throws(() => frame.functionName, { instanceOf: StaleFrameError })
  t.throws(() => ({ ...frame }), { instanceOf: StaleFrameError })
  t.throws(() => isDeepStrictEqual(frame, a.gr_frame), { instanceOf: StaleFrameError })
  t.regex(inspect(frame), /^\[stale frame/)
  t.notThrows(() => inspect(frame, { customInspect: false, getters: true }))
  g.kill()
})

test('own properties of a frame cannot be changed', (t) => {
  const frame = a.gr_frame!
  t.false(Reflect.set(frame, 'functionName', 'x'))
  t.false(Reflect.defineProperty(frame, 'functionName', { value: 'x' }))
  t.deepEqual(Object.keys(frame), ['functionName', 'typeName', 'fileName', 'lineNumber', 'columnNumber'])
})

test('the JSON of a stack has paths below the working directory and no script ids', (t) => {
  const [first] = JSON.parse(JSON.stringify(a.gr_stack)) as Record<string, unknown>[]
  t.is(first!['functionName'], 'park')
  t.is(first!['fileName'], '__test__/comparing.spec.ts')
  t.false('scriptId' in first!)
  t.deepEqual(JSON.parse(JSON.stringify(a.gr_stack.detach())), JSON.parse(JSON.stringify(a.gr_stack)))
  t.is(typeof a.gr_frame!.scriptId, 'number')
})
