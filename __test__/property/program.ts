/**
 * Programs that run twice: on real greenlets (real.ts), and in a model that knows the rules of Python's greenlet and no stacks
 * (model.ts). Both record what they see, line by line, and must record the same.
 *
 * A program is a list of bodies, and each body is a block of instructions. Main runs body 0. A greenlet runs the body it was
 * made with, once, so every program ends. Greenlets are numbered in the order they are made; main is 0. A number that is too
 * high is taken modulo the number of greenlets.
 */

import fc from 'fast-check'

/** The maximum number of greenlets of a program, with main. */
export const MOST_GREENLETS = 30

export type GreenletNumber = number
/** Index of a body, modulo the number of bodies without main's; null for a greenlet without a function. */
export type Body = number | null
export type Block = readonly Instruction[]

export type Instruction =
  /** A parent of null is the current greenlet. */
  | { op: 'create'; body: Body; parent: GreenletNumber | null }
  | { op: 'switch'; to: GreenletNumber; values: readonly number[] }
  | { op: 'throw'; to: GreenletNumber; what: Thrown }
  | { op: 'kill'; to: GreenletNumber }
  | { op: 'reparent'; greenlet: GreenletNumber; parent: GreenletNumber }
  | { op: 'setRun'; greenlet: GreenletNumber; body: Body }
  /** Records the names of its frames, and keeps the snapshot to check later whether it is still valid. */
  | { op: 'look'; greenlet: GreenletNumber }
  | { op: 'call'; via: Via; block: Block }
  | { op: 'try'; block: Block; catch: Block | null; finally: Block | null }
  | { op: 'return'; value: number }
  | { op: 'raise'; what: Thrown }

/** `e0` to `e3` are errors, `x0` and `x1` are instances of GreenletExit; null is a new GreenletExit, throw()'s default. */
export type Thrown = 'e0' | 'e1' | 'e2' | 'e3' | 'x0' | 'x1' | null

/** Kinds of V8 frames under which a program switches. */
export const VIAS = [
  'inFunction',
  'inMap',
  'inGetter',
  'inReviver',
  'inToJson',
  'inSort',
  'inReplacer',
  'inProxy',
  'inGenerator',
  'inConstructor',
  'inIterator',
  'inPrimitive',
] as const
export type Via = (typeof VIAS)[number]

export interface Program {
  /** The first body is main's. */
  readonly bodies: readonly Block[]
}

const greenlet = fc.nat({ max: MOST_GREENLETS - 1 })
const body = fc.option(fc.nat({ max: 7 }), { freq: 40 })
const thrown = fc.constantFrom<Thrown[]>('e0', 'e1', 'e2', 'e3', 'x0', 'x1', null)
const value = fc.nat({ max: 99 })

const create = fc.record({ op: fc.constant('create' as const), body, parent: fc.option(greenlet) })

const { block } = fc.letrec<{ block: Block; instruction: Instruction }>((tie) => ({
  block: fc.array(tie('instruction'), { maxLength: 8, size: 'max', depthIdentifier: 'block' }),
  instruction: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'block', depthSize: 'large' },
    // fast-check takes the first alternative when the program gets too deep.
    {
      weight: 12,
      arbitrary: fc.record({
        op: fc.constant('switch'),
        to: greenlet,
        values: fc.array(value, { maxLength: 3, depthIdentifier: 'values' }),
      }),
    },
    { weight: 4, arbitrary: create },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('throw'), to: greenlet, what: thrown }) },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('kill'), to: greenlet }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('reparent'), greenlet, parent: greenlet }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('setRun'), greenlet, body }) },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('look'), greenlet }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('return'), value }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('raise'), what: thrown }) },
    {
      weight: 8,
      arbitrary: fc.record({ op: fc.constant('call'), via: fc.constantFrom(...VIAS), block: tie('block') }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        op: fc.constant('try'),
        block: tie('block'),
        catch: fc.option(tie('block'), { freq: 4 }),
        finally: fc.option(tie('block'), { freq: 1 }),
      }),
    },
  ) as fc.Arbitrary<Instruction>,
}))

/** Main first makes some greenlets. Then it catches every error between its blocks, because it starts the others. */
const main = fc
  .tuple(
    fc.array(create, { minLength: 1, maxLength: MOST_GREENLETS - 5, size: 'max' }),
    fc.array(block, { minLength: 1, maxLength: 25, size: 'max' }),
  )
  .map(([creates, blocks]): Block => [
    ...creates,
    ...blocks.map((block): Instruction => ({ op: 'try', block, catch: [], finally: null })),
  ])

export const programs: fc.Arbitrary<Program> = fc
  .tuple(main, fc.array(block, { minLength: 1, maxLength: 8, size: 'max' }))
  .map(([main, others]) => ({ bodies: [main, ...others] }))

/** The program as text. */
export function printed({ bodies }: Program): string {
  return bodies.map((block, i) => `${i === 0 ? 'main' : `body${i - 1}`}:\n${lines(block, '  ')}`).join('\n')
}

function lines(block: Block, indent: string): string {
  if (block.length === 0) return `${indent}pass`
  return block.map((instruction) => indent + line(instruction, indent)).join('\n')
}

function line(it: Instruction, indent: string): string {
  const nested = (block: Block): string => `{\n${lines(block, `${indent}  `)}\n${indent}}`
  switch (it.op) {
    case 'create':
      return `create(${bodyName(it.body)}${it.parent === null ? '' : `, parent: g[${it.parent}]`})`
    case 'switch':
      return `g[${it.to}].switch(${it.values.join(', ')})`
    case 'throw':
      return `g[${it.to}].throw(${it.what ?? ''})`
    case 'kill':
      return `g[${it.to}].kill()`
    case 'reparent':
      return `g[${it.greenlet}].parent = g[${it.parent}]`
    case 'setRun':
      return `g[${it.greenlet}].run = ${bodyName(it.body)}`
    case 'look':
      return `look at g[${it.greenlet}].gr_stack`
    case 'call':
      return `${it.via} ${nested(it.block)}`
    case 'try':
      return [
        `try ${nested(it.block)}`,
        it.catch && `catch ${nested(it.catch)}`,
        it.finally && `finally ${nested(it.finally)}`,
      ]
        .filter(Boolean)
        .join(' ')
    case 'return':
      return `return ${it.value}`
    case 'raise':
      return `throw ${it.what ?? 'new GreenletExit()'}`
  }
}

function bodyName(body: Body): string {
  return body === null ? 'nothing' : `body${body}`
}
